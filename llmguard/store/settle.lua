-- End a reservation: what was really spent counts from now on.
-- A row is {every, amount, actual}.
local spends = {}
-- First take what is held: a server that is out of memory still lets a script go on that began to free some.
for i, row in ipairs(rows) do
  local counter, amount, actual = open(i), row[2], row[3]
  if amount > 0 and redis.call('ZREM', counter.held, member(i, amount)) == 1 then
    counter.reserved = counter.reserved - amount
    spends[i] = actual
  else
    spends[i] = math.max(actual - amount, 0)
  end
end
for i = 1, #rows do
  local counter = open(i)
  if spends[i] > 0 then
    spend(counter, counter.spends, spends[i], now)
  end
end
save_all()
return 1
