-- Hold the amounts of all charges, or of none.
-- The value is the lease in seconds, a row {every, limit, amount, forced}.
-- Returns {retry_after_s or -1, the places of the charges that did not fit, the levels}.

-- The seconds until no more than `room` is spent, if nothing further is; nil if that never comes.
local function wait(counter, room)
  local sum = spent(counter)
  if sum <= room then
    return 0
  end
  if counter.every < 0 then
    return nil
  end
  local spends, grants, s, g = counter.spends, counter.grants, 1, 1
  while spends[s] do
    while grants[g] and grants[g + 1] <= spends[s + 1] do
      sum, g = sum - grants[g + 2], g + 3
    end
    sum = sum - spends[s + 2]
    if sum <= room then
      return spends[s + 1] + counter.every - now
    end
    s = s + 3
  end
  return nil
end

local taken, exceeded, retry_s = {}, {}, 0
for i, row in ipairs(rows) do
  local counter, limit, amount, forced = open(i), row[2], row[3], row[4]
  local reserved = counter.reserved + (taken[counter] or 0)
  if amount > 0 and not forced and spent(counter) + reserved + amount > limit then
    exceeded[#exceeded + 1] = i - 1
    local wait_s = wait(counter, limit - amount - reserved)
    if not wait_s then
      wait_s = wait(counter, limit - amount)
      wait_s = wait_s and math.max(wait_s, RELEASE_S) or NEVER
    end
    retry_s = math.max(retry_s, wait_s)
  end
  taken[counter] = (taken[counter] or 0) + amount
end
if #exceeded == 0 then
  local ends = now + value
  for i, row in ipairs(rows) do
    local counter, amount = open(i), row[3]
    -- A reservation that was sent twice is held once.
    if amount > 0 and redis.call('ZADD', counter.held, ends, member(i, amount)) == 1 then
      counter.reserved = counter.reserved + amount
      counter.due = math.min(counter.due, ends)
      counter.until_ = math.max(counter.until_, ends)
    end
  end
  save_all()
end
local levels = {}
for i = 1, #rows do
  levels[i] = level(open(i))
end
local waits = #exceeded > 0 and retry_s < NEVER
return cmsgpack.pack({waits and retry_s or -1, exceeded, levels})
