#!lua
-- spend: take all charges of a subject or none.
-- KEYS[1]  hash of the subject's limits
-- ARGV[1]  time to live of the hash, ms
-- then for each charge six values:
--   name, cost, kind (rate|quota), and
--   rate:  emission interval us, burst tolerance us (burst * interval), 0
--   quota: limit, start of the period (unix s), end of the period (unix s, 0: never), all as the replica sees it
-- Returns {refused (index or 0), wait ms (-1: never), left 1, reset ms 1, left 2, reset ms 2, ...}
-- Rates are kept as a theoretical arrival time in microseconds of Redis time (GCRA), quotas as "start:used".
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is not a hash') end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local refused, wait = 0, 0
local limits = {}
for i = 2, #ARGV, 6 do
  local index = #limits + 1
  local name, cost, sort = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local stored = redis.call('HGET', KEYS[1], name)
  if sort == 'rate' then
    local interval, burst = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
    local tat = math.max(tonumber(stored or '0') or 0, now)
    -- A lowered burst must not leave a debt longer than the new one allows.
    tat = math.min(tat, now + burst)
    local after = tat + cost * interval
    if cost > 0 and after - now > burst then
      if refused == 0 then
        refused = index
        if cost * interval > burst then wait = -1 else wait = math.ceil((after - now - burst) / 1000) end
      end
    end
    limits[index] = {
      name = name, cost = cost, before = tat, after = after,
      text = function(at) return string.format('%.0f', at) end,
      left = function(at) return math.floor((burst - (at - now)) / interval) end,
      reset = function(at) return math.ceil((at - now) / 1000) end,
    }
  else
    local limit, from, to = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
    local used = 0
    if stored then
      local at, n = string.match(stored, '^(%-?%d+):(%d+)$')
      -- A replica whose clock is behind must not open a period again that has ended for the others.
      if at and tonumber(at) >= from then used = tonumber(n); from = tonumber(at) end
    end
    local after = used + cost
    local reset = -1
    if to > 0 then reset = math.max(0, to * 1000 - math.floor(now / 1000)) end
    if cost > 0 and after > limit then
      if refused == 0 then refused = index; wait = cost > limit and -1 or reset end
    end
    limits[index] = {
      name = name, cost = cost, before = used, after = after,
      text = function(n) return string.format('%.0f:%.0f', from, n) end,
      left = function(n) return math.max(0, limit - n) end,
      reset = function() return reset end,
    }
  end
end
local out, writes = {refused, wait}, {}
for _, l in ipairs(limits) do
  local now_at = refused > 0 and l.before or l.after
  out[#out + 1] = l.left(now_at)
  out[#out + 1] = l.reset(now_at)
  if l.cost > 0 then writes[#writes + 1] = l.name; writes[#writes + 1] = l.text(now_at) end
end
if refused > 0 or #writes == 0 then return out end
redis.call('HSET', KEYS[1], unpack(writes))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return out
