-- `reserve` of state.rs; runs after `epoch.lua`. An entry is one of
--   F owner(16) fingerprint(16) gateway(16) upstream lease
--                           in flight until `lease`, or `upstream` ms after the last heartbeat of the gateway
--   R fingerprint(16)       released
--   C fingerprint(16) - | + response   committed
-- KEYS[3]: the entry. ARGV[5]: owner, [6]: fingerprint, [7]: lease in ms, [8]: ms for which the entry must be stored,
-- [9]: 1 to reject credentials whose ids may be lost, [10]: time of issue in Unix seconds, or empty, [11]: ms of the
-- lease that are left once the gateway has died.

-- How old the heartbeat of the calling gateway may be. Older: the clock of this server was set, and leases and entries
-- seem to have expired; or the gateway was suspended.
local FRESH = 5000

local news = write()
local owner, fingerprint = ARGV[5], ARGV[6]
local lease, left = tonumber(ARGV[7]), tonumber(ARGV[8])
local found = redis.call('GET', KEYS[3]) or ''
local kind = string.sub(found, 1, 1)
-- This credential may be valid for longer than the first one with the same id, and could be replayed after that one.
if kind ~= '' and left > redis.call('PTTL', KEYS[3]) then
  redis.call('PEXPIRE', KEYS[3], string.format('%.0f', left))
end
if kind == 'C' then
  if string.sub(found, 2, 17) ~= fingerprint then return { 'M', news, false } end
  return { 'C', news, string.sub(found, 18, 18) == '+' and string.sub(found, 19) }
end
local function beat(gateway)
  return tonumber(string.match(redis.call('HGET', KEYS[2], gateway) or '', '^%d+'))
end
local first = fingerprint
if kind == 'F' and string.sub(found, 2, 17) ~= owner then
  local gateway, upstream, ends = string.match(string.sub(found, 34), '^(%x+) (%d+) (%d+)$')
  local last = beat(gateway)
  -- No lease ends during a recovery, since the clock of this server may have been set.
  if epoch.open > 0 or math.min(tonumber(ends), last and last + tonumber(upstream) or math.huge) > now then
    return { 'I', news, false }
  end
  first = string.sub(found, 18, 33)
elseif kind == 'R' then
  first = string.sub(found, 2, 17)
end
local own = beat(ARGV[4])
if own and math.abs(now - own) > FRESH then return { 'U', news, false } end
if ARGV[9] == '1' then
  local issued = tonumber(ARGV[10])
  -- Until all gateways have written their tails again, any id may be missing, also that of a retry that was signed after
  -- the event. After that, those of times that no tail covers. A credential without a time could have been used at any
  -- time, and its sender may never send again: it is rejected only during the recovery.
  if epoch.open > 0 then return { 'U', news, false } end
  if issued and issued <= epoch.from then return { 'U', news, false } end
end
if first ~= fingerprint then return { 'M', news, false } end
-- The expiry never becomes shorter, since the clock of another gateway may be behind.
local keep = math.max(redis.call('PTTL', KEYS[3]), left, lease)
local entry = string.format('F%s%s%s %s %.0f', owner, fingerprint, ARGV[4], ARGV[11], now + lease)
redis.call('SET', KEYS[3], entry, 'PX', string.format('%.0f', keep))
return { 'R', news, false }
