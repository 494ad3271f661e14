#!lua flags=allow-oom
-- settle: replace what reservations of one subject were charged by what was spent, and free their slots. One that was
-- settled before, or that nobody knows any more, changes nothing.
-- KEYS  limits (hash), open reservations (sorted set), slots (sorted set)
-- ARGV[1..2]  ms that an unheard reservation is remembered; time to live of a quota that never ends, ms
-- then for each reservation: its name, 0, or 1 if the answer of its spending was lost, or 2 if it corrects what was charged
-- under another name; number of amounts, and for each amount
--   name, kind, cost, spent, and   rate: span us of spent - cost, tolerance us   quota: start, end (unix s, 0: never)
-- It is allowed when Redis is out of memory: it frees more than it takes, and who was charged too much is waiting.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local ms = math.floor(now / 1000)
local function integer(n) return string.format('%.0f', n) end
local fields, changed, life = {}, {}, 0
local function read(name)
  if fields[name] == nil then fields[name] = redis.call('HGET', KEYS[1], name) or '' end
  return fields[name]
end
local function write(name, text, last)
  fields[name], changed[name] = text, true
  life = math.max(life, last)
end
local function rate(name, span, tolerance)
  local tat, old = string.match(read(name), '^(%d+):?(%d*)$')
  if not tat and span <= 0 then return end
  tat, old = tonumber(tat or '0'), tonumber(old or '')
  if tat > now + tolerance and (not old or old > tolerance) then tat = now + tolerance end
  local debt = math.max(math.max(tat - now, 0) + span, 0)
  debt = math.min(debt, 2 ^ 50) -- 35 years; beyond 2^53 times would lose digits
  write(name, integer(now + debt) .. ':' .. integer(tolerance), debt / 1000 + 60000)
end
local function quota(name, delta, start, last)
  if last > 0 and last * 1000 <= ms then return end
  local from, used = string.match(read(name), '^(%d+):(%d+)$')
  from, used = tonumber(from or '-1'), tonumber(used or '0')
  if from > start then return end
  if from < start then used = 0 end
  local keep = last > 0 and last * 1000 - ms + 86400000 or tonumber(ARGV[2])
  write(name, integer(start) .. ':' .. integer(math.max(used + delta, 0)), keep)
end
redis.call('ZCARD', KEYS[3])
local gone, told, settled = {}, {}, 0
local i = 3
while i <= #ARGV do
  local reservation, marked, amounts = ARGV[i], ARGV[i + 1] ~= '0', tonumber(ARGV[i + 2])
  local apart = ARGV[i + 1] == '2'
  i = i + 3
  local at = redis.call('ZMSCORE', KEYS[2], reservation, '~' .. reservation)
  local open = tonumber(at[1] or 0) > ms and not gone[reservation]
  local again = gone[reservation] or tonumber(at[2] or 0) > ms
  local apply = not again and (open or marked)
  local charged = open or apart
  for _ = 1, amounts do
    local name, kind, cost, spent = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local x, y = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
    i = i + 6
    if apply and kind == 'quota' then quota(name, charged and spent - cost or spent, x, y) end
    if apply and charged and kind == 'rate' and spent ~= cost then rate(name, x, y) end
  end
  if apply then
    settled = settled + 1
    gone[reservation] = true
    if marked then told[reservation] = true end
  end
end
local writes = {}
for name in pairs(changed) do writes[#writes + 1] = name; writes[#writes + 1] = fields[name] end
if #writes > 0 then
  redis.call('HSET', KEYS[1], unpack(writes))
  if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], integer(life)) end
end
for reservation in pairs(gone) do
  redis.call('ZREM', KEYS[2], reservation)
  redis.call('ZREM', KEYS[3], reservation)
end
for reservation in pairs(told) do
  redis.call('ZADD', KEYS[2], integer(ms + tonumber(ARGV[1])), '~' .. reservation)
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return settled
