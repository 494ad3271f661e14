#!lua flags=allow-oom
-- settle: replace what reservations of one subject were charged by what was spent, and free their slots. One that was
-- settled before, or that nobody knows any more, changes nothing.
-- KEYS  limits (hash), open reservations (sorted set), slots (sorted set)
-- ARGV[1..3]  ms that an unheard reservation is remembered; time to live of a quota that never ends, ms; number of limits
-- then for each limit four values, name, kind, and   rate: tolerance us, 0   quota: start, end (unix s, 0: never)
-- then a list in MessagePack: of each reservation its name, 0, or 1 if the answer of its spending was lost, or 2 if it corrects
-- what was charged under another name; number of amounts, and for each amount
--   limit, and what was spent less what was charged (rate: as a span, us), and of an unheard one all that was spent
-- It is allowed when Redis is out of memory: it frees more than it takes, and who was charged too much is waiting.
local call, match, format, max = redis.call, string.match, string.format, math.max
local t = call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local ms = math.floor(now / 1000)
local names, quotas, firsts, seconds = {}, {}, {}, {}
local limits = tonumber(ARGV[3])
for k = 1, limits do
  local at = 4 * k
  names[k], quotas[k] = ARGV[at], ARGV[at + 1] == 'quota'
  firsts[k], seconds[k] = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
end
local all = cmsgpack.unpack(ARGV[4 + 4 * limits])

-- What stands of each name is read once: a limit that was changed meanwhile is here under both its shapes.
local held, life = {}, 0
local function read(name, pattern)
  local is = held[name]
  if not is then
    local one, two = match(call('HGET', KEYS[1], name) or '', pattern)
    is = {one = tonumber(one or ''), two = tonumber(two or '')}
    held[name] = is
  end
  return is
end
local function rate(name, tolerance, span)
  local is = read(name, '^(%d+):?(%d*)$')
  if not is.one and span <= 0 then return end
  local tat, old = is.one or 0, is.two
  if tat > now + tolerance and (not old or old > tolerance) then tat = now + tolerance end
  local debt = max(max(tat - now, 0) + span, 0)
  debt = math.min(debt, 2 ^ 50) -- 35 years; beyond 2^53 times would lose digits
  is.one, is.two, is.changed = now + debt, tolerance, true
  life = max(life, debt / 1000 + 60000)
end
local function quota(name, start, last, change)
  if last > 0 and last * 1000 <= ms then return end
  local is = read(name, '^(%d+):(%d+)$')
  local from, used = is.one or -1, is.two or 0
  if from > start then return end
  if from < start then used = 0 end
  is.one, is.two, is.changed = start, max(used + change, 0), true
  life = max(life, last > 0 and last * 1000 - ms + 86400000 or tonumber(ARGV[2]))
end

call('HLEN', KEYS[1]) -- all types are as they should be, so that nothing fails after the first write
local slots = call('ZCARD', KEYS[3])
call('ZREMRANGEBYSCORE', KEYS[2], '-inf', format('%.0f', ms))
local gone, marked, told = {}, false, format('%.0f', ms + tonumber(ARGV[1]))
local i, last = 1, #all
while i <= last do
  local reservation, how, amounts = all[i], all[i + 1], all[i + 2]
  local open = call('ZREM', KEYS[2], reservation) == 1
  local apply = open or how ~= 0 and not call('ZSCORE', KEYS[2], '~' .. reservation)
  local width = how == 1 and 3 or 2
  i = i + 3
  for a = i, i + (amounts - 1) * width, width do
    local k = all[a]
    if apply and quotas[k] then
      quota(names[k], firsts[k], seconds[k], how == 1 and not open and all[a + 2] or all[a + 1])
    elseif apply and (open or how == 2) then
      rate(names[k], firsts[k], all[a + 1])
    end
  end
  i = i + amounts * width
  if apply then
    gone[#gone + 1] = reservation
    if how ~= 0 then
      call('ZADD', KEYS[2], told, '~' .. reservation)
      marked = true
    end
  end
end

local writes = {}
for name, is in pairs(held) do
  if is.changed then
    writes[#writes + 1] = name
    writes[#writes + 1] = format('%.0f:%.0f', is.one, is.two)
  end
end
if #writes > 0 then
  call('HSET', KEYS[1], unpack(writes))
  if call('PTTL', KEYS[1]) < life then call('PEXPIRE', KEYS[1], format('%.0f', life)) end
end
if slots > 0 and #gone > 0 then call('ZREM', KEYS[3], unpack(gone)) end
if marked then call('PEXPIRE', KEYS[2], ARGV[1]) end
return #gone
