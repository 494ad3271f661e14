#!lua
-- release: give a claim back, unless somebody else holds it. Safe to run twice.
-- KEYS  claim
-- ARGV  replica
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
