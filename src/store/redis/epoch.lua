-- Detects whether this server may have lost ids since the bucket was last written. Prepended to `reserve.lua` and
-- `touch.lua`.
-- KEYS[1]: epoch of the bucket. ARGV[1]: epoch that the gateway saw last, or empty. ARGV[2]: 1 if each write is on disk
-- before the server responds.
-- An epoch is `run event durable base n`: run ID of the server process; time at which ids may last have been lost (Unix
-- seconds, 0: never); 1 if that process wrote durably from its start; name of the database, given at its first use;
-- number of changes of the epoch.
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)

local function read(text)
  local run, event, durable, base, n = string.match(text or '', '^(%S+) (%d+) ([01]) (%S+) (%d+)$')
  if not run then return nil end
  return { run = run, event = tonumber(event), durable = durable, base = base, n = tonumber(n) }
end

-- True on a promoted replica: it keeps the replication ID of its former master as master_replid2.
local function promoted()
  local left = string.match(redis.call('INFO', 'replication'), 'master_replid2:(%x+)')
  return left ~= nil and string.find(left, '[^0]') ~= nil
end

local stored = redis.call('GET', KEYS[1])
local server = redis.call('INFO', 'server')
local run = string.match(server, 'run_id:(%x+)')
local known = read(ARGV[1])
local epoch = read(stored)
local event = 0
if not epoch then
  -- The epoch is gone: the database was emptied. The event is now and not the start of the process, since this may be
  -- another server that was started long ago.
  if known or stored then event = seconds end
  local base = run .. '.' .. time[1] .. '.' .. time[2]
  epoch = { run = run, durable = ARGV[2], base = base, n = (known and known.n or 0) + 1 }
else
  event = epoch.event
  local strange = false
  if known and known.base == epoch.base then
    -- The epoch is older than the one seen, or from another history: a former master is back.
    strange = epoch.n < known.n or (epoch.n == known.n and epoch.run ~= known.run)
  elseif known then
    -- The database was emptied, and a gateway that did not know the old epoch wrote a new one. If that has an event,
    -- the event is later than the loss.
    strange = epoch.event == 0
  end
  if epoch.run ~= run then
    if promoted() then
      event = seconds
    elseif epoch.durable == '0' or ARGV[2] == '0' then
      local up = tonumber(string.match(server, 'uptime_in_seconds:(%d+)') or '0')
      event = math.max(event, math.min(seconds, seconds - up + 1))
    end
    epoch.run, epoch.durable, epoch.n = run, ARGV[2], epoch.n + 1
  elseif ARGV[2] == '0' then
    epoch.durable = '0'
  end
  if strange then
    event = seconds
    epoch.n = math.max(epoch.n, known.n) + 1
  end
end
local line = string.format('%s %.0f %s %s %.0f', epoch.run, event, epoch.durable, epoch.base, epoch.n)
if line ~= stored then redis.call('SET', KEYS[1], line) end
local news = line ~= ARGV[1] and line or ''
