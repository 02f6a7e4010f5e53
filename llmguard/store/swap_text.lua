-- Replaces a text that is still what it was ('' for none). KEYS: the text. ARGV: what it was, what it becomes.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
