#!lua
-- cfgrestore: put items that were filled into a hash beside them in the place of all, if the state is older than they
-- are. Safe to run twice: a state that was restored is newer.
-- KEYS  items (hash), version (counter), log (stream), filled (hash)
-- ARGV  version of what was filled, version to make, number of items filled, channel
for i, want in ipairs({'hash', 'string', 'stream', 'hash'}) do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= want then return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is not a ' .. want) end
end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return 0 end
local filled = redis.call('HLEN', KEYS[4])
if filled ~= tonumber(ARGV[3]) then
  return redis.error_reply('ERR ' .. KEYS[4] .. ' holds ' .. filled .. ' of ' .. ARGV[3] .. ' items')
end
redis.call('UNLINK', KEYS[1], KEYS[3])
if filled > 0 then
  redis.call('RENAME', KEYS[4], KEYS[1])
  redis.call('PERSIST', KEYS[1])
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
