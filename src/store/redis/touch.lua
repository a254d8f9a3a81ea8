-- The heartbeat of a gateway in a bucket; runs after `epoch.lua`. KEYS[2] maps the ids of gateways to
-- `beat n start dropped`: time of its last heartbeat; number of the epoch for which the gateway has written its tail
-- again; time at which its process started; time until which its tail lacks entries (0: it lacks none). All times are
-- milliseconds of this server.
-- ARGV[5]: n, or `-` if the gateway has never used the bucket. ARGV[6], ARGV[7]: age of the process and of the last
-- entry that its tail has dropped, in ms (-1: none). ARGV[8]: ms since the previous heartbeat, or -1. ARGV[9]: 1 if the
-- gateway has found that the clock of this server was set, so that leases and entries may have expired early. Returns
-- the epoch if it has changed, the time, and 1 if the gateway has to compare the clocks and touch again.

-- How long a recovery takes at least, so that each gateway has noticed the event; longer where it is not known which
-- gateways there are. And how long it waits for a gateway, after which that gateway counts as dead.
local LEAST, LEAST_UNKNOWN, LONGEST = 1000, 5000, 10000
-- A gateway whose last heartbeat is older than this, compared with the last one of any, wrote nothing that was lost.
local SILENT = 5000
-- How far the time between two heartbeats may differ from that on the clock of the gateway.
local STEP = 2000
-- When the heartbeat of a gateway is deleted.
local FORGOTTEN = 3600000

if ARGV[9] == '1' and (epoch.open == 0 or math.abs(now - epoch.open) > LEAST_UNKNOWN) then
  lose(seconds, 1)
  epoch.n = epoch.n + 1
end
local n = tonumber(ARGV[5]) or epoch.n
-- The tail was written again for an epoch of a database that is gone.
if known and known.base ~= epoch.base then n = 0 end
local dropped = tonumber(ARGV[7])
dropped = dropped < 0 and 0 or now - dropped
local age, own = tonumber(ARGV[8]), redis.call('HGET', KEYS[2], ARGV[4])
local passed = now - (tonumber(string.match(own or '', '^%d+')) or now)
if age >= 0 and own and math.abs(passed - age) > STEP then
  -- The clock was set, or this server or the gateway was suspended. The gateway finds out, and touches again; until then
  -- its heartbeat is too old for reservations.
  return { write(), now, 1 }
end
-- A call that waited for this server makes the process look younger.
local start = now - tonumber(ARGV[6])
if ARGV[9] == '0' then
  start = math.min(start, tonumber(string.match(own or '', '^%d+ %d+ (%d+)')) or start)
end
local beat = string.format('%.0f %.0f %.0f %.0f', now, n, start, dropped)
redis.call('HSET', KEYS[2], ARGV[4], beat)

if epoch.open > 0 then
  local missing, since, silent = false, 0, {}
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local beat, n, start, dropped = string.match(all[i + 1], '^(%d+) (%d+) (%d+) (%d+)$')
    beat, n, start, dropped = tonumber(beat), tonumber(n), tonumber(start), tonumber(dropped)
    if n < epoch.n then
      missing = missing or beat >= epoch.last - SILENT
    else
      -- The writes of former processes are not known, except where the server has kept them. A process that has started
      -- since the event lacks nothing.
      since = math.max(since, dropped, start <= epoch.open and start or 0)
    end
    if beat < now - FORGOTTEN then table.insert(silent, all[i]) end
  end
  local took = now - epoch.open
  local least = epoch.whole == 1 and LEAST_UNKNOWN or LEAST
  if took < 0 or took >= LONGEST or (took >= least and not missing) then
    if missing then
      epoch.from = math.max(epoch.from, epoch.event)
    elseif epoch.whole == 1 or since > epoch.last then
      epoch.from = math.max(epoch.from, seconds - math.floor((now - since) / 1000))
    end
    epoch.open = 0
    if #silent > 0 then redis.call('HDEL', KEYS[2], unpack(silent)) end
  end
end
return { write(), now, 0 }
