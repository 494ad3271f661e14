#!lua
-- keepobjects: remember objects of one owner and family. Safe to run twice.
-- KEYS  objects (hash), their order, those that are gone (sorted sets)
-- ARGV  most objects, seconds that one is kept (0: for ever); then id, unix s when it was made, account of each
redis.call('HLEN', KEYS[1])
redis.call('ZCARD', KEYS[2])
redis.call('ZCARD', KEYS[3])
for i = 3, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
end
local function drop(ids)
  for i = 1, #ids do redis.call('HDEL', KEYS[1], ids[i]); redis.call('ZREM', KEYS[2], ids[i]) end
end
local life = tonumber(ARGV[2])
if life > 0 then
  local oldest = tonumber(redis.call('TIME')[1]) - life
  drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', oldest), 'LIMIT', 0, 100))
  redis.call('EXPIRE', KEYS[1], life)
  redis.call('EXPIRE', KEYS[2], life)
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if over > 0 then drop(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1)) end
return 1
