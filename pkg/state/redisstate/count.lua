#!lua
-- count: add one numbered batch of a replica to the usage totals. A batch that was taken in already adds nothing.
-- KEYS  usage (hash), batches (hash)
-- ARGV  replica epoch, number of the batch (from 1), then pairs of field and amount
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if tonumber(ARGV[2]) <= last then return 0 end
local t = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'since', t[1])
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
