-- GCRA: one of a shared rate. KEYS[1] when the next is due, in microseconds; ARGV[1] microseconds between two,
-- ARGV[2] how many at once. Answers how many microseconds are missing, 0: taken.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local ahead = (tonumber(ARGV[2]) - 1) * interval
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, now)
if due - now > ahead then return string.format('%.0f', due - now - ahead) end
due = due + interval
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', string.format('%.0f', math.ceil((due - now) / 1000)))
return '0'
