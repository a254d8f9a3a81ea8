-- Writes an entry of a gateway's tail again, after the server may have lost it; `reserve.lua` describes the format of an
-- entry. Nothing that happened later is undone: committed > in flight > released > nothing.
-- KEYS[1]: the entry. ARGV[1]: owner, [2]: fingerprint, [3]: ms for which the entry must be stored, [4]: C, R or F, [5]:
-- for a commit `-`, or `+` and the response to store; for F `gateway upstream`, [6]: for F the ms left of its lease.
local found = redis.call('GET', KEYS[1]) or ''
local kind = string.sub(found, 1, 1)
if kind == 'C' then return end
local others = kind == 'F' and string.sub(found, 2, 17) ~= ARGV[1]
if ARGV[4] == 'R' and others then return end
local entry = ARGV[4] .. ARGV[2]
if ARGV[4] == 'C' then entry = entry .. ARGV[5] end
if ARGV[4] == 'F' then
  local time = redis.call('TIME')
  local lease = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[6])
  entry = string.format('F%s%s%s %.0f', ARGV[1], ARGV[2], ARGV[5], lease)
end
local keep = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]), 1)
redis.call('SET', KEYS[1], entry, 'PX', string.format('%.0f', keep))
