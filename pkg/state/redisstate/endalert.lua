#!lua
-- endalert: give up a name that lasts, and remember the alert that says so. Safe to run twice: who gave it up is remembered a minute.
-- KEYS  names that last (hash), who gave it up (string), latest alerts (stream)
-- ARGV  name, token, text, most alerts, ms they are remembered
redis.call('XLEN', KEYS[3])
local by = redis.call('GET', KEYS[2])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  if by == ARGV[2] then return 1 end
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', 60000)
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[4], '*', 'name', ARGV[1], 'text', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return 1
