-- GCRA: takes one request from a shared rate limit.
-- KEYS[1]: theoretical arrival time of the next request, in microseconds. ARGV[1]: interval in microseconds, ARGV[2]:
-- burst. Returns the microseconds to wait; 0: within the limit.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local ahead = (tonumber(ARGV[2]) - 1) * interval
-- A time further ahead is from before the clock of this server was set back.
local due = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
due = math.max(math.min(due, now + ahead + interval), now)
if due - now > ahead then return string.format('%.0f', due - now - ahead) end
due = due + interval
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', string.format('%.0f', math.ceil((due - now) / 1000)))
return '0'
