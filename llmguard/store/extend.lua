-- Let what is still held of a reservation last longer.
-- The value is the lease in seconds, a row {every, amount}.
local ends = now + value
for i, row in ipairs(rows) do
  local counter, amount = open(i), row[2]
  if amount > 0 and redis.call('ZSCORE', counter.held, member(i, amount)) then
    redis.call('ZADD', counter.held, ends, member(i, amount))
    counter.due = math.min(counter.due, ends)
    counter.last_due = math.max(counter.last_due, ends)
  end
end
save_all()
return 1
