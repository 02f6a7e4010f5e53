-- Keeps the hashes of one answer in the hash of its period, where there is room.
-- KEYS: the period. ARGV: room, lifetime in milliseconds, value, hashes.
if redis.call('HLEN', KEYS[1]) + #ARGV - 3 > tonumber(ARGV[1]) then
  return 0
end
for place = 4, #ARGV do
  redis.call('HSET', KEYS[1], ARGV[place], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
