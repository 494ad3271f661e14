#!lua
-- beat: say that a replica lives, which configuration it runs and what it tells of itself, and count the replicas and
-- configurations there are.
-- KEYS  heartbeats (sorted set), configurations (hash), descriptions (hash)
-- ARGV  replica, ms after which one counts as gone, version of its configuration, description
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
  redis.call('HDEL', KEYS[3], gone)
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
local seen, versions = {}, 0
for _, version in ipairs(redis.call('HVALS', KEYS[2])) do
  if not seen[version] then
    seen[version] = true
    versions = versions + 1
  end
end
return {redis.call('ZCARD', KEYS[1]), versions}
