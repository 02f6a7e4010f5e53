-- Hold the amounts of all charges, or of none.
-- The value is the lease in seconds, a row {every, limit, amount, forced}; a key beyond those of the rows is a note's.
-- Returns {retry_after_s or -1, the places of the charges that did not fit, the levels, the note or false}.

-- The seconds until no more than `room` is spent, if nothing further is; nil if that never comes.
local function leaving(counter, room)
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

-- The seconds until there is room, counting on the end of reservations only where nothing else makes any.
local function wait(counter, room)
  local wait_s = leaving(counter, room - counter.reserved)
  if not wait_s then
    wait_s = leaving(counter, room)
    wait_s = wait_s and math.max(wait_s, RELEASE_S) or NEVER
  end
  return wait_s
end

-- A reservation that is asked for twice is held once: all of its charges are held, or none.
local function is_held()
  for i, row in ipairs(rows) do
    if row[3] > 0 then
      return redis.call('ZSCORE', open(i).held, member(i, row[3]))
    end
  end
  return true
end

local function exceeding()
  local taken, places, retry_s = {}, {}, 0
  for i, row in ipairs(rows) do
    local counter, limit, amount, forced = open(i), row[2], row[3], row[4]
    local reserved = counter.reserved + (taken[counter] or 0)
    if amount > 0 and not forced and spent(counter) + reserved + amount > limit then
      places[#places + 1] = i - 1
      retry_s = math.max(retry_s, wait(counter, limit - amount))
    end
    taken[counter] = (taken[counter] or 0) + amount
  end
  return places, (#places == 0 or retry_s == NEVER) and -1 or retry_s
end

local function hold()
  local ends = now + value
  for i, row in ipairs(rows) do
    local counter, amount = open(i), row[3]
    if amount > 0 then
      redis.call('ZADD', counter.held, ends, member(i, amount))
      counter.reserved = counter.reserved + amount
      counter.due = math.min(counter.due, ends)
      counter.last_due = math.max(counter.last_due, ends)
    end
  end
  save_all()
end

local levels, places, retry_s = {}, {}, -1
for i = 1, #rows do
  open(i)
end
if not is_held() then
  places, retry_s = exceeding()
  if #places == 0 then
    hold()
  end
end
for i = 1, #rows do
  levels[i] = level(open(i))
end
local noted = KEYS[2 * #rows + 1]
return cmsgpack.pack({retry_s, places, levels, noted and redis.call('GET', noted) or false})
