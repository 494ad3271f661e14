#!lua
-- forgetobjects: forget objects of one owner and family; a list can go on at them for a while. Safe to run twice.
-- KEYS  objects (hash), their order, those that are gone (sorted sets)
-- ARGV  most that are gone, seconds that they are remembered; then the ids
redis.call('HLEN', KEYS[1])
redis.call('ZCARD', KEYS[2])
redis.call('ZCARD', KEYS[3])
for i = 3, #ARGV do
  local made = redis.call('ZSCORE', KEYS[2], ARGV[i])
  redis.call('HDEL', KEYS[1], ARGV[i])
  if made then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('ZADD', KEYS[3], made, ARGV[i])
    redis.call('EXPIRE', KEYS[3], ARGV[2])
  end
end
local over = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[1])
if over > 0 then redis.call('ZREMRANGEBYRANK', KEYS[3], 0, over - 1) end
return 1
