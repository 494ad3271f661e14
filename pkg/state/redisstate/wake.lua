#!lua
-- wake: end a rest and forget how often it was repeated. Safe to run twice.
-- KEYS  rests (hash), ends (sorted set), version (counter)
-- ARGV  subject, channel
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('INCR', KEYS[3])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
