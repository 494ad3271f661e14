#!lua
-- count: add one numbered part of a replica's usage. A part that was taken in already adds nothing.
-- KEYS  totals (hash), number of the replica's last part, requests (stream), then for minute, hour and day a hash of
--       each kind of series
-- ARGV  ms that the number is kept, number of the part (from 1), most series of a step, most requests, most requests of an
--       entry, ms that a request is kept, ms that a minute, an hour, a day is kept; how many totals, series of each kind, and
--       entries of requests follow; then a field and an amount for each total, an id and "amount amount ..." for each series,
--       and for each entry its requests and how many they are
-- What is read before the first write fails on a key of another type.
if tonumber(ARGV[2]) <= (tonumber(redis.call('GET', KEYS[2]) or '0') or 0) then return 0 end
redis.call('HLEN', KEYS[1])
redis.call('XLEN', KEYS[3])
local kinds = (#KEYS - 3) / 3
local room = {}
for step = 1, 3 do
  room[step] = tonumber(ARGV[3])
  for kind = 1, kinds do room[step] = room[step] - redis.call('HLEN', KEYS[3 + (step - 1) * kinds + kind]) end
end

local counted = 10
local at = counted + kinds + 2
local function take()
  at = at + 1
  return ARGV[at - 1]
end

local t = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'since', t[1])
-- All totals are read at once and written at once, by two commands and not by a hundred. Beyond 2^53 they are rounded. A field that is no number any more begins anew: a script that fails half way would be worse.
local fields, totals = {}, {}
for _ = 1, tonumber(ARGV[counted]) do
  local field, amount = take(), tonumber(take())
  if not totals[field] then fields[#fields + 1] = field end
  totals[field] = (totals[field] or 0) + amount
end
if #fields > 0 then
  local old, new = redis.call('HMGET', KEYS[1], unpack(fields)), {}
  for i = 1, #fields do
    new[#new + 1] = fields[i]
    new[#new + 1] = string.format('%.0f', (tonumber(old[i] or '') or 0) + totals[fields[i]])
  end
  redis.call('HSET', KEYS[1], unpack(new))
end

-- numbers reads "3 2 1".
local function numbers(text)
  local list = {}
  for n in string.gmatch(text, '%d+') do list[#list + 1] = tonumber(n) end
  return list
end
-- plus adds b to a; either may be longer, if it is of a newer version.
local function plus(a, b)
  for i = 1, #b do a[i] = (a[i] or 0) + b[i] end
  return a
end
local function text(list)
  local words = {}
  for i = 1, #list do words[i] = string.format('%.0f', list[i]) end
  return table.concat(words, ' ')
end

-- add adds series to one hash. What is new and has no room is added up under 'other'; the total, whose id is empty, always
-- has. Returns the room that is left.
local function add(key, life, ids, amounts, room)
  local old, new, rest = redis.call('HMGET', key, unpack(ids)), {}, nil
  for i = 1, #ids do
    if old[i] then
      new[#new + 1] = ids[i]
      new[#new + 1] = text(plus(numbers(old[i]), amounts[i]))
    elseif room > 0 or ids[i] == 'other' or ids[i] == '' then
      room = room - 1
      new[#new + 1] = ids[i]
      new[#new + 1] = text(amounts[i])
    else
      rest = plus(rest or {}, amounts[i])
    end
  end
  if #new > 0 then redis.call('HSET', key, unpack(new)) end
  if rest then
    local before = redis.call('HGET', key, 'other')
    if not before then room = room - 1 end
    redis.call('HSET', key, 'other', text(plus(numbers(before or ''), rest)))
  end
  redis.call('PEXPIRE', key, life, 'NX')
  return room
end

for kind = 1, kinds do
  local ids, amounts, known = {}, {}, {}
  for _ = 1, tonumber(ARGV[counted + kind]) do
    local id, more = take(), numbers(take())
    if known[id] then
      plus(amounts[known[id]], more)
    else
      ids[#ids + 1] = id
      amounts[#ids] = more
      known[id] = #ids
    end
  end
  for step = 1, 3 do
    if #ids > 0 then
      room[step] = add(KEYS[3 + (step - 1) * kinds + kind], ARGV[6 + step], ids, amounts, room[step])
    end
  end
end

-- Requests lie several in one entry: an entry by itself costs as much as all else that is done for one. Each entry has the
-- number of all requests so far, by which it is known how many are behind the first. As many entries go as hold what is too much if
-- they are full (ARGV[5]), again and again: never too many, and what is still too much goes with the next part.
local entries = tonumber(ARGV[counted + kinds + 1])
if entries > 0 then
  local stream, most = KEYS[3], tonumber(ARGV[4])
  local function numberOf(found)
    local fields = found[1] and found[1][2] or {}
    for i = 1, #fields, 2 do
      if fields[i] == 'n' then return tonumber(fields[i + 1]) end
    end
  end
  local length = redis.call('XLEN', stream)
  local n = numberOf(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)) or length
  for _ = 1, entries do
    local requests, many = take(), tonumber(take())
    n = n + many
    redis.call('XADD', stream, '*', 'r', requests, 'n', string.format('%.0f', n))
  end
  length = length + entries
  for _ = 1, 16 do
    local first = numberOf(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)) or n
    local gone = math.floor((n - first - most) / tonumber(ARGV[5]))
    if gone < 1 then break end
    length = length - gone
    redis.call('XTRIM', stream, 'MAXLEN', '=', length)
  end
  redis.call('XTRIM', stream, 'MAXLEN', '~', most) -- whatever has been written there
  local oldest = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) - tonumber(ARGV[6])
  redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', oldest))
  redis.call('PEXPIRE', stream, ARGV[6])
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
return 1
