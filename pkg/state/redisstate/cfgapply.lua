#!lua
-- cfgapply: make all changes of items or none, as one version more. Safe to run twice: a token that was applied answers
-- the version that it made.
-- KEYS  items (hash), version (counter), log (stream), notes (stream), what the token made (string)
-- ARGV  version that the caller knows, note, versions kept, notes kept, ms that the token is kept, channel,
--       then for each change three: "kind/id", the revision expected (-1: anything, 0: nothing), ":value", or "" to delete
-- Returns {'ok', version}, {'stale', version}, or {'conflict', number of the change, revision of the item or 0}
for i, want in ipairs({'hash', 'string', 'stream', 'stream', 'string'}) do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= want then return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is not a ' .. want) end
end
local made = redis.call('GET', KEYS[5])
if made then return {'ok', tonumber(made)} end
local version = tonumber(redis.call('GET', KEYS[2]) or '0')
if not version then return redis.error_reply('ERR ' .. KEYS[2] .. ' is not a number') end
if version < tonumber(ARGV[1]) then return {'stale', version} end
for i = 7, #ARGV, 3 do
  local expected = tonumber(ARGV[i + 1])
  if expected >= 0 then
    local old = redis.call('HGET', KEYS[1], ARGV[i])
    local revision = old and tonumber(string.match(old, '^(%d+):')) or 0
    if revision ~= expected then return {'conflict', (i - 4) / 3, revision} end
  end
end
local now = string.format('%.0f', version + 1)
local names, put, gone = {}, {}, {}
for i = 7, #ARGV, 3 do
  names[#names + 1] = ARGV[i]
  if ARGV[i + 2] == '' then
    gone[#gone + 1] = ARGV[i]
  else
    put[#put + 1] = ARGV[i]
    put[#put + 1] = now .. ARGV[i + 2]
  end
end
-- First what may be refused: the log takes no number that it had.
redis.call('XADD', KEYS[3], 'MAXLEN', '=', ARGV[3], now .. '-0', 'names', table.concat(names, '/'))
-- Lua cannot unpack thousands at once.
local function write(command, all)
  for from = 1, #all, 1000 do redis.call(command, KEYS[1], unpack(all, from, math.min(from + 999, #all))) end
end
write('HSET', put)
write('HDEL', gone)
redis.call('SET', KEYS[2], now)
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'note', ARGV[2])
redis.call('SET', KEYS[5], now, 'PX', ARGV[5])
redis.call('PUBLISH', ARGV[6], now)
return {'ok', version + 1}
