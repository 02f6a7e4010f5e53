-- What every script of the ledger begins with: one counter and how it stands at `now`.
--
-- A counter is two keys. The first holds {reserved, when the first lease ends at the latest known, when the last does,
-- spends, grants}, the latter two as runs of (first, last, amount), the oldest first. The second is a sorted set of
-- what is reserved: members 'amount:place:id' by the end of their lease, so that it is one of thousands in O(log n).
-- Times are seconds of the server's clock, or of the one given; `every` < 0 means that nothing ever leaves, and
-- LEVEL among these that what is reserved is never spent by itself.
-- KEYS are two for each row of ARGV[1], {id, now or -1, value, rows}; a row begins with `every`.
-- Defined before this text: RESOLUTION, RELEASE_S, LEVEL.
local KEEP_S = 60
local NEVER = math.huge
-- Sums stay whole numbers, whatever a request asks for and an upstream claims.
local MOST = 2 ^ 52

local arguments = cmsgpack.unpack(ARGV[1])
local id, now, value, rows = unpack(arguments)
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end

for _, row in ipairs(rows) do
  for i = 2, #row do
    if type(row[i]) == 'number' and row[i] > MOST then
      row[i] = MOST
    end
  end
end

local function spend(counter, runs, amount, at)
  local count = #runs
  if count > 0 and (counter.every < 0 or at < runs[count - 2] + counter.every / RESOLUTION) then
    runs[count - 1] = math.max(runs[count - 1], at)
    runs[count] = math.max(math.min(runs[count] + amount, MOST), -MOST)
  elseif amount ~= 0 then
    runs[count + 1], runs[count + 2], runs[count + 3] = at, at, amount
  end
end

local function leaves(counter, last)
  return counter.every < 0 and NEVER or last + counter.every
end

local function present(counter, runs)
  -- Where the server's clock went back, what was spent after its time counts as spent now: too long, never too short.
  local ahead = #runs > 0 and math.max(runs[#runs - 1] - now, 0) or 0
  local left = {}
  for i = 1, #runs, 3 do
    if leaves(counter, runs[i + 1] - ahead) > now then
      local count = #left
      left[count + 1], left[count + 2], left[count + 3] = runs[i] - ahead, runs[i + 1] - ahead, runs[i + 2]
    end
  end
  return left
end

local function end_leases(counter)
  local ended = redis.call('ZRANGEBYSCORE', counter.held, '-inf', now, 'WITHSCORES')
  for i = 1, #ended, 2 do
    local amount = tonumber(string.match(ended[i], '^%d+'))
    counter.reserved = counter.reserved - amount
    if counter.every ~= LEVEL then
      spend(counter, counter.spends, amount, tonumber(ended[i + 1]))
    end
  end
  redis.call('ZREMRANGEBYSCORE', counter.held, '-inf', now)
  local first = redis.call('ZRANGE', counter.held, 0, 0, 'WITHSCORES')
  if first[2] then
    counter.due = tonumber(first[2])
  else
    counter.reserved = 0
  end
end

local function total(runs)
  local sum = 0
  for i = 3, #runs, 3 do
    sum = sum + runs[i]
  end
  return sum
end

-- Keep the counter for as long as it can matter, and some time more.
local function save(counter)
  local spends, grants, ends = counter.spends, counter.grants, now
  if #spends + #grants == 0 and counter.reserved == 0 then
    redis.call('DEL', counter.key)
    return
  end
  if counter.reserved == 0 then
    counter.due, counter.last_due = NEVER, 0
  end
  local packed = cmsgpack.pack({counter.reserved, counter.due, counter.last_due, spends, grants})
  if counter.every < 0 then
    redis.call('SET', counter.key, packed)
    return
  end
  for _, last in ipairs({spends[#spends - 1] or 0, grants[#grants - 1] or 0, counter.last_due}) do
    ends = math.max(ends, last)
  end
  local ms = math.ceil((ends + counter.every + KEEP_S - now) * 1000)
  redis.call('SET', counter.key, packed, 'PX', ms)
  if counter.reserved > 0 then
    redis.call('PEXPIRE', counter.held, ms)
  end
end

local opened = {}

local function open(i)
  local key = KEYS[2 * i - 1]
  local counter = opened[key]
  if counter then
    return counter
  end
  counter = {key = key, held = KEYS[2 * i], every = rows[i][1], reserved = 0, due = NEVER, last_due = 0, spends = {}, grants = {}}
  local packed = redis.call('GET', key)
  if packed then
    counter.reserved, counter.due, counter.last_due, counter.spends, counter.grants = unpack(cmsgpack.unpack(packed))
    local ended = counter.due <= now
    if ended then
      end_leases(counter)
    end
    counter.spends, counter.grants = present(counter, counter.spends), present(counter, counter.grants)
    if ended then
      save(counter)
    end
  end
  opened[key] = counter
  return counter
end

local function spent(counter)
  return total(counter.spends) + total(counter.grants)
end

local function save_all()
  for _, counter in pairs(opened) do
    save(counter)
  end
end

local function member(place, amount)
  return string.format('%d:%d:%s', amount, place, id)
end

-- {spent, reserved, seconds until no spend counts any more or -1}
local function level(counter)
  local spends, reset_s = counter.spends, 0
  if #spends > 0 then
    reset_s = counter.every < 0 and -1 or spends[#spends - 1] + counter.every - now
  end
  return {spent(counter), counter.reserved, reset_s}
end
