-- Detects whether this server may have lost ids since the bucket was last written. Prepended to `reserve.lua` and
-- `touch.lua`.
-- KEYS[1]: epoch of the bucket. KEYS[2]: gateways of the bucket, see `touch.lua`. ARGV[1]: epoch that the gateway saw
-- last, or empty. ARGV[2]: 1 if each write is on disk before the server responds. ARGV[3]: time of the gateway, in Unix
-- seconds. ARGV[4]: id of the gateway.
-- An epoch is `run event durable base n last whole from open`: run ID of the server process; time of the last event in
-- which ids may have been lost (0: never); 1 if that process wrote durably from its start; name of the database, given
-- at its first use; number of changes of run and event; time of the last heartbeat that the event left, before which
-- nothing was lost, unless `whole` is 1; credentials that were issued until `from` may be lost, and stay so; time at
-- which the recovery from the event began (0: it has ended). `event` and `from` are times of a gateway, in Unix seconds,
-- since the gateways verify credentials by their clocks; `last` and `open` are of this server, in milliseconds.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local seconds = tonumber(ARGV[3])

local function read(text)
  local pattern = '^(%S+) (%d+) ([01]) (%S+) (%d+) (%d+) ([01]) (%d+) (%d+)$'
  local run, event, durable, base, n, last, whole, from, open = string.match(text or '', pattern)
  if not run then return nil end
  return { run = run, event = tonumber(event), durable = durable, base = base, n = tonumber(n), last = tonumber(last),
    whole = tonumber(whole), from = tonumber(from), open = tonumber(open) }
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

-- Begins the recovery from a loss. `whole`: 1 if writes before the last heartbeat may be lost too.
local function lose(event, whole)
  local last = 0
  local beats = redis.call('HVALS', KEYS[2])
  for i = 1, #beats do
    last = math.max(last, tonumber(string.match(beats[i], '^%d+')) or 0)
  end
  if last == 0 then whole = 1 end
  if epoch.open > 0 then
    -- The recovery from the previous loss has not ended.
    last, whole = math.min(last, epoch.last), math.max(whole, epoch.whole)
  end
  epoch.event, epoch.last, epoch.whole, epoch.open = math.max(event, epoch.event), last, whole, now
end

if not epoch then
  local base = run .. '.' .. time[1] .. '.' .. time[2]
  epoch = { run = run, event = 0, durable = ARGV[2], base = base, n = (known and known.n or 0) + 1, last = 0, whole = 0,
    from = 0, open = 0 }
  -- The epoch is gone: the database was emptied. The event is now and not the start of the process, since this may be
  -- another server that was started long ago.
  if known or stored then lose(seconds, 1) end
else
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
      lose(seconds, 0)
    elseif epoch.durable == '0' or ARGV[2] == '0' then
      local up = tonumber(string.match(server, 'uptime_in_seconds:(%d+)') or '0')
      lose(math.min(seconds, seconds - up + 1), 0)
    end
    epoch.run, epoch.durable, epoch.n = run, ARGV[2], epoch.n + 1
  elseif ARGV[2] == '0' then
    epoch.durable = '0'
  end
  if strange then
    lose(seconds, 1)
    epoch.n = math.max(epoch.n, known.n) + 1
  end
end

-- Writes the epoch. Returns it if the gateway has not seen it yet.
local function write()
  local e = epoch
  local line = string.format('%s %.0f %s %s %.0f %.0f %d %.0f %.0f', e.run, e.event, e.durable, e.base, e.n, e.last,
    e.whole, e.from, e.open)
  if line ~= stored then redis.call('SET', KEYS[1], line) end
  return line ~= ARGV[1] and line or ''
end
