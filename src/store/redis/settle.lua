-- `settle` of state.rs; `reserve.lua` describes the format of an entry. KEYS[1]: the entry. ARGV[1]: owner, [2]:
-- fingerprint, [3]: ms for which the entry must be stored, [4]: C, R or - (forget), [5]: for a commit, `-`, or `+` and
-- the response to store.
local wanted = ARGV[4]
local found = redis.call('GET', KEYS[1]) or ''
local kind = string.sub(found, 1, 1)
if kind == '' and wanted ~= 'C' then return 'D' end
if kind == 'F' and string.sub(found, 2, 17) ~= ARGV[1] then return 'L' end
if kind == 'R' then return wanted == 'C' and 'L' or 'D' end
if kind == 'C' then return wanted == 'C' and 'D' or 'L' end
if wanted == '-' then
  redis.call('DEL', KEYS[1])
  return 'D'
end
local entry = wanted .. ARGV[2]
if wanted == 'C' then entry = entry .. ARGV[5] end
local keep = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]), 1)
redis.call('SET', KEYS[1], entry, 'PX', string.format('%.0f', keep))
return 'D'
