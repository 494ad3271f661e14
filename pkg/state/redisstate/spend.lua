#!lua
-- spend: for each of the asks, in order, take all its charges of one subject or none, once for each reservation.
-- KEYS  limits (hash), open reservations (sorted set), slots (sorted set) of the subject
-- ARGV[1..4]  least time to live of the limits, ms; ms a reservation can be settled; ms a slot is held; number of limits
-- then for each limit five values, name, kind and
--   rate:  tolerance us (the span of the burst), 0, 0
--   quota: limit, start of the period (unix s), end of the period (unix s, 0: never), all as the replica sees it
--   slots: how many there are, 0, 0
-- then a list in MessagePack: of each ask its reservation, empty: none, and what it takes of each limit: span us, units, slots
-- Returns for each limit three values: of a quota ms to the end of the period (-1: never) and its start, else 0, 0; and before the
-- asks: debt us, units used, slots held. Then for each ask 0: it took all, -1: it had already, or which limit refused; and at
-- last for each that was refused ms to wait (-1: never).
-- Rates are kept as "arrival:tolerance" in us of Redis time (GCRA), quotas as "start:used", reservations and slots by
-- their end in ms. Everything is read, and so of the right type, before anything is written. What does not depend on the
-- ask is done once: of a hundred asks together each costs about an eighth of what one costs by itself.
local call, match, format, max = redis.call, string.match, string.format, math.max
local t = call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local ms = math.floor(now / 1000)
local passed = format('%.0f', ms) -- a number that is given to a call is written anew by each
local limits = tonumber(ARGV[4])
local asks, width, names = cmsgpack.unpack(ARGV[5 + 5 * limits]), limits + 1, {}
for k = 1, limits do names[k] = ARGV[5 * k] end
local stored = call('HMGET', KEYS[1], unpack(names))

local taken, most, kinds, ends, out = {}, {}, {}, {}, {}
for k = 1, limits do
  local at = 5 * k
  local kind, a, b, c = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local text, was, second, third = stored[k] or '', 0, 0, 0
  if kind == 'rate' then
    local tat, tolerance = match(text, '^(%d+):?(%d*)$')
    tat, tolerance = tonumber(tat or '0'), tonumber(tolerance or '')
    -- A lowered burst must not leave a debt longer than the new one allows; a debt that was settled stays.
    if tat > now + a and (not tolerance or tolerance > a) then tat = now + a end
    was = max(tat - now, 0)
  elseif kind == 'quota' then
    local from, used = match(text, '^(%d+):(%d+)$')
    from, used = tonumber(from or '-1'), tonumber(used or '0')
    -- A replica whose clock is behind must not open a period again that has ended for the others, nor one whose clock is
    -- ahead end theirs early.
    if from < b and (b * 1000 <= ms or from < 0) then from, used = b, 0 end
    was, third = used, from
    second = c > 0 and max(0, c * 1000 - ms) or -1
  else
    was = call('ZCOUNT', KEYS[3], '(' .. passed, '+inf')
  end
  taken[k], most[k], kinds[k], ends[k] = was, a, kind, second
  out[3 * k - 2], out[3 * k - 1], out[3 * k] = second, third, was
end

local known, asked = {}, {}
for i = 1, #asks, width do
  local reservation = asks[i]
  if reservation ~= '' then
    asked[#asked + 1] = reservation
    asked[#asked + 1] = '~' .. reservation
  end
end
if #asked > 0 then
  local at = call('ZMSCORE', KEYS[2], unpack(asked))
  for i = 1, #asked, 2 do
    if at[i] or at[i + 1] then known[asked[i]] = max(tonumber(at[i] or 0), tonumber(at[i + 1] or 0)) > ms end
  end
end

-- wait is how long a refusal of a limit lasts.
local function wait(k, cost)
  if kinds[k] == 'slots' then return 1000 end
  if cost > most[k] then return -1 end
  return kinds[k] == 'rate' and math.ceil((taken[k] + cost - most[k]) / 1000) or ends[k]
end
local costs, changed, open, held, waits, o = {}, {}, {}, {}, {}, 3 * limits
local opened, holds = format('%.0f', ms + tonumber(ARGV[2])), format('%.0f', ms + tonumber(ARGV[3])) -- once, not by each call
for i = 1, #asks, width do
  local reservation = asks[i]
  local refused, longest, takes, slot = 0, 0, false, false
  if known[reservation] then
    refused = -1
  else
    for k = 1, limits do
      local cost = asks[i + k]
      costs[k] = cost
      if cost > 0 then
        takes = true
        if taken[k] + cost > most[k] then
          local span = wait(k, cost)
          if refused == 0 or longest >= 0 and (span < 0 or span > longest) then refused, longest = k, span end
        end
      end
    end
    if takes and refused == 0 then
      for k = 1, limits do
        if costs[k] > 0 then
          taken[k] = taken[k] + costs[k]
          if kinds[k] == 'slots' then slot = true else changed[k] = true end
        end
      end
      if reservation ~= '' then
        known[reservation] = true
        open[#open + 1] = opened
        open[#open + 1] = reservation
      end
      if slot then
        held[#held + 1] = holds
        held[#held + 1] = reservation
      end
    end
  end
  o = o + 1
  out[o] = refused
  if refused > 0 then waits[#waits + 1] = longest end
end
for i = 1, #waits do out[o + i] = waits[i] end

local writes, life = {}, tonumber(ARGV[1])
for k = 1, limits do
  if changed[k] then
    writes[#writes + 1] = names[k]
    if kinds[k] == 'rate' then
      writes[#writes + 1] = format('%.0f:%.0f', now + taken[k], most[k])
      life = max(life, taken[k] / 1000 + 60000)
    else
      writes[#writes + 1] = format('%.0f:%.0f', out[3 * k - 1], taken[k])
    end
  end
end
if #writes > 0 then
  call('HSET', KEYS[1], unpack(writes))
  -- never sooner than before: the quotas that are not named here lie in the same hash
  if call('PTTL', KEYS[1]) < life then call('PEXPIRE', KEYS[1], format('%.0f', life)) end
end
if #open > 0 then
  call('ZREMRANGEBYSCORE', KEYS[2], '-inf', passed)
  call('ZADD', KEYS[2], unpack(open))
  call('PEXPIRE', KEYS[2], ARGV[2])
end
if #held > 0 then
  call('ZREMRANGEBYSCORE', KEYS[3], '-inf', passed)
  call('ZADD', KEYS[3], unpack(held))
  call('PEXPIRE', KEYS[3], ARGV[3])
end
return out
