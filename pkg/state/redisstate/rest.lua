#!lua
-- rest: put a subject to rest; of two rests of one subject the one that ends later is kept. Safe to run twice.
-- KEYS  rests (hash), ends (sorted set), version (counter)
-- ARGV  subject, reason, ms since it began, ms until it ends, repeat, most rests kept, ms a rest is remembered, channel
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local till = now + tonumber(ARGV[4])
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local ends = tonumber(string.match(old, '^%d+ (%-?%d+) ') or '0')
  if ends >= till then return 0 end
end
local value = string.format('1 %.0f %.0f %d %s', till, now - tonumber(ARGV[3]), tonumber(ARGV[5]), ARGV[2])
local function drop(names)
  for i = 1, #names do redis.call('HDEL', KEYS[1], names[i]); redis.call('ZREM', KEYS[2], names[i]) end
end
drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - tonumber(ARGV[7])), 'LIMIT', 0, 100))
redis.call('HSET', KEYS[1], ARGV[1], value)
redis.call('ZADD', KEYS[2], string.format('%.0f', till), ARGV[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[6])
if over > 0 then drop(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 100) - 1)) end
redis.call('INCR', KEYS[3])
redis.call('PUBLISH', ARGV[8], ARGV[1])
return 1
