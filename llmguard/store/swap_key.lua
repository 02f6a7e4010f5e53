-- Put a key's record in the place of the one that the caller read, if it is still there.
-- KEYS: the record; the ids of all; then the record's lookups: those added, kept, removed.
-- ARGV: the record as read ('' for none); as it shall be, both with their marks; its id; when it is gone (+inf: never);
--       the milliseconds until then ('' for never); now; how many lookups are added; how many kept.
-- Returns 1: done, perhaps by an earlier try whose answer was lost; 0: it is another record by
-- now; -1: an added lookup is another key's.
local current = redis.call('GET', KEYS[1]) or ''
if current == ARGV[2] then
  return 1
end
if current ~= ARGV[1] then
  return 0
end
local added, kept = tonumber(ARGV[7]), tonumber(ARGV[8])
for i = 3, 2 + added do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    return -1
  end
end
for i, key in ipairs(KEYS) do
  if i > 2 + added + kept then
    redis.call('DEL', key)
  elseif i ~= 2 and ARGV[5] == '' then
    redis.call('SET', key, ARGV[2])
  elseif i ~= 2 then
    redis.call('SET', key, ARGV[2], 'PX', ARGV[5])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
return 1
