-- Allow more, or, without an amount, forget what was spent and granted.
-- The value is the amount, or -1; a row {every}.
for i = 1, #rows do
  local counter = open(i)
  if value < 0 then
    counter.spends, counter.grants = {}, {}
  else
    spend(counter, counter.grants, -math.min(value, MOST), now)
  end
end
save_all()
return 1
