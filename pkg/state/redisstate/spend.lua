#!lua
-- spend: take all charges of a subject or none, once for each reservation.
-- KEYS  limits (hash), open reservations (sorted set), slots (sorted set) of one subject
-- ARGV[1..4]  least time to live of the limits, ms; reservation, empty: none; ms it can be settled; ms a slot is held
-- then for each charge six values, name, cost, kind and
--   rate:  span of the cost us, tolerance us (the span of the burst), 0
--   quota: limit, start of the period (unix s), end of the period (unix s, 0: never), all as the replica sees it
--   slots: how many there are, 0, 0
-- Returns {refused (index or 0), wait ms (-1: never)}, and for each charge three values:
--   rate: debt us, 0, 0   quota: used, ms to the end of the period (-1: never), its start   slots: how many are held, 0, 0
-- Rates are kept as "arrival:tolerance" in us of Redis time (GCRA), quotas as "start:used", reservations and slots by
-- their end in ms. Everything is read, and so of the right type, before anything is written.
local call, match, format, max = redis.call, string.match, string.format, math.max
local t = call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local ms = math.floor(now / 1000)
local reservation = ARGV[2]
local names, first = {}, 5
for i = first, #ARGV, 6 do names[#names + 1] = ARGV[i] end
local stored = call('HMGET', KEYS[1], unpack(names))
local known = false
if reservation ~= '' then
  local at = call('ZMSCORE', KEYS[2], reservation, '~' .. reservation)
  known = max(tonumber(at[1] or 0), tonumber(at[2] or 0)) > ms
end
local refused, wait, held = 0, 0, false
local function refuse(index, span)
  if refused == 0 or wait >= 0 and (span < 0 or span > wait) then refused, wait = index, span end
end
local function integer(n) return format('%.0f', n) end
local life = tonumber(ARGV[1])
local out, before, writes = {0, 0}, {0, 0}, {}
for index, name in ipairs(names) do
  local at = first + (index - 1) * 6
  local cost, kind = tonumber(ARGV[at + 1]), ARGV[at + 2]
  local a, b, c = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local text = stored[index] or ''
  local was, is, second, third = 0, 0, 0, 0
  if kind == 'rate' then
    local tat, tolerance = match(text, '^(%d+):?(%d*)$')
    tat, tolerance = tonumber(tat or '0'), tonumber(tolerance or '')
    -- A lowered burst must not leave a debt longer than the new one allows; a debt that was settled stays.
    if tat > now + b and (not tolerance or tolerance > b) then tat = now + b end
    was = max(tat - now, 0)
    is = was + a
    if cost > 0 then
      if is > b then refuse(index, a > b and -1 or math.ceil((is - b) / 1000)) end
      writes[#writes + 1] = name
      writes[#writes + 1] = format('%.0f:%.0f', now + is, b)
      life = max(life, is / 1000 + 60000)
    end
  elseif kind == 'quota' then
    local from, used = match(text, '^(%d+):(%d+)$')
    from, used = tonumber(from or '-1'), tonumber(used or '0')
    -- A replica whose clock is behind must not open a period again that has ended for the others, nor one whose clock is
    -- ahead end theirs early.
    if from < b and (b * 1000 <= ms or from < 0) then from, used = b, 0 end
    was, is, third = used, used + cost, from
    second = c > 0 and max(0, c * 1000 - ms) or -1
    if cost > 0 then
      if is > a then refuse(index, cost > a and -1 or second) end
      writes[#writes + 1] = name
      writes[#writes + 1] = format('%.0f:%.0f', from, is)
    end
  else
    was = call('ZCOUNT', KEYS[3], '(' .. integer(ms), '+inf')
    is = was + cost
    held = held or cost > 0
    if cost > 0 and is > a then refuse(index, 1000) end
  end
  local to = index * 3
  before[to], before[to + 1], before[to + 2] = was, second, third
  out[to], out[to + 1], out[to + 2] = is, second, third
end
if known then return before end
if refused > 0 then
  before[1], before[2] = refused, wait
  return before
end
if #writes > 0 then
  call('HSET', KEYS[1], unpack(writes))
  call('PEXPIRE', KEYS[1], integer(life))
end
if reservation ~= '' and (#writes > 0 or held) then
  call('ZREMRANGEBYSCORE', KEYS[2], '-inf', integer(ms))
  call('ZADD', KEYS[2], integer(ms + tonumber(ARGV[3])), reservation)
  call('PEXPIRE', KEYS[2], ARGV[3])
end
if held then
  call('ZREMRANGEBYSCORE', KEYS[3], '-inf', integer(ms))
  call('ZADD', KEYS[3], integer(ms + tonumber(ARGV[4])), reservation)
  call('PEXPIRE', KEYS[3], ARGV[4])
end
return out
