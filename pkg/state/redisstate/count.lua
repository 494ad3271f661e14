#!lua
-- count: add one numbered batch of a replica to the usage totals. A batch that was taken in already adds nothing.
-- KEYS  usage (hash), number of the replica's last batch
-- ARGV  ms that the number is kept, number of the batch (from 1), then pairs of field and amount
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[2]) <= last then return 0 end
local t = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'since', t[1])
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
return 1
