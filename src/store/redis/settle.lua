-- `settle` of state.rs; `reserve.lua` describes the format of an entry. KEYS[1]: the entry, KEYS[2]: the quota of its
-- sender. ARGV[1]: owner, [2]: fingerprint, [3]: ms for which the entry must be stored, [4]: C, R or - (forget), [5]:
-- for a commit, `-`, or `+` and the response to store, [6]: bytes of responses that the sender may store in this bucket.
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
-- GCRA in bytes: the quota at once, and as much again in the time for which a response is stored. Without a response a
-- duplicate is acknowledged.
local function within_quota(bytes)
  local window = tonumber(ARGV[3])
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local due = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') or 0, now) + bytes * window / tonumber(ARGV[6])
  if due - now > window then return false end
  redis.call('SET', KEYS[2], string.format('%.0f', due), 'PX', string.format('%.0f', math.max(due - now, 1)))
  return true
end
local entry = wanted .. ARGV[2]
if wanted == 'C' then
  local reply = ARGV[5]
  if #reply > 1 and not within_quota(#reply) then reply = '-' end
  entry = entry .. reply
end
local keep = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]), 1)
redis.call('SET', KEYS[1], entry, 'PX', string.format('%.0f', keep))
return 'D'
