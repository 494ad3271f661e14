#!lua
-- tell: hold the name of an alert, and remember the alert, if nobody held it. Safe to run twice: whoever holds it is told so again.
-- KEYS  the name's own (string), names that last (hash), latest alerts (stream)
-- ARGV  name, token, ms the name is held (0: until it ends), text, most names that last, most alerts, ms they are remembered
redis.call('XLEN', KEYS[3])
local life = tonumber(ARGV[3])
local held
if life > 0 then held = redis.call('GET', KEYS[1]) else held = redis.call('HGET', KEYS[2], ARGV[1]) end
if held then
  if held == ARGV[2] then return 1 end
  return 0
end
if life > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) then return 0 end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
end
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[6], '*', 'name', ARGV[1], 'text', ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
return 1
