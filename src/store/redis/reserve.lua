-- `reserve` of state.rs; runs after `epoch.lua`. An entry is one of
--   F owner(16) fingerprint(16) lease     in flight until `lease`, in milliseconds of this server's clock
--   R fingerprint(16)                     released
--   C fingerprint(16) - | + response      committed
-- KEYS[2]: the entry. ARGV[3]: owner, [4]: fingerprint, [5]: lease in ms, [6]: ms for which the entry must be stored,
-- [7]: 1 to reject credentials that were issued before an event, [8]: time of issue in Unix seconds, or empty.
local owner, fingerprint = ARGV[3], ARGV[4]
local lease, left = tonumber(ARGV[5]), tonumber(ARGV[6])
local found = redis.call('GET', KEYS[2]) or ''
local kind = string.sub(found, 1, 1)
-- This credential may be valid for longer than the first one with the same id, and could be replayed after that one.
if kind ~= '' and left > redis.call('PTTL', KEYS[2]) then
  redis.call('PEXPIRE', KEYS[2], string.format('%.0f', left))
end
if kind == 'C' then
  if string.sub(found, 2, 17) ~= fingerprint then return { 'M', news, false } end
  return { 'C', news, string.sub(found, 18, 18) == '+' and string.sub(found, 19) }
end
if ARGV[7] == '1' and event > 0 then
  local issued = tonumber(ARGV[8])
  if issued and issued <= event then return { 'U', news, false } end
  -- Without a time of issue, reject for as long as a credential from before the event could be valid.
  if not issued and event * 1000 + left > now then return { 'U', news, false } end
end
local first = fingerprint
if kind == 'F' and string.sub(found, 2, 17) ~= owner then
  if tonumber(string.sub(found, 34)) > now then return { 'I', news, false } end
  first = string.sub(found, 18, 33)
elseif kind == 'R' then
  first = string.sub(found, 2, 17)
end
if first ~= fingerprint then return { 'M', news, false } end
-- The expiry never becomes shorter, since the clock of another gateway may be behind.
local keep = math.max(redis.call('PTTL', KEYS[2]), left, lease)
local entry = 'F' .. owner .. fingerprint .. string.format('%.0f', now + lease)
redis.call('SET', KEYS[2], entry, 'PX', string.format('%.0f', keep))
return { 'R', news, false }
