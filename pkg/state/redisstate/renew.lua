#!lua
-- renew: keep reservations that are open, and the slots of those that hold one. One that was settled stays settled.
-- KEYS  open reservations (sorted set), slots (sorted set) of one subject
-- ARGV[1..2]  ms that they can be settled, ms that slots are held; then pairs of reservation and 1 if it holds a slot
local t = redis.call('TIME')
local ms = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('ZCARD', KEYS[2])
local renewed = 0
for i = 3, #ARGV, 2 do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) > ms then
    renewed = renewed + 1
    redis.call('ZADD', KEYS[1], ms + tonumber(ARGV[1]), ARGV[i])
    if ARGV[i + 1] == '1' then redis.call('ZADD', KEYS[2], ms + tonumber(ARGV[2]), ARGV[i]) end
  end
end
if renewed > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return renewed
