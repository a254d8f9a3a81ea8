-- Looks up a credential in the revocation sets. KEYS[1..3]: sets of revoked jti, sub and kid. KEYS[4]: time in Unix
-- seconds; credentials issued before it are revoked. ARGV[1..3]: `-`, or `+` and the name to look up.
local named = 0
for i = 1, 3 do
  if string.sub(ARGV[i], 1, 1) == '+' and redis.call('SISMEMBER', KEYS[i], string.sub(ARGV[i], 2)) == 1 then
    named = 1
  end
end
return { named, redis.call('GET', KEYS[4]) }
