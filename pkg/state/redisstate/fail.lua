#!lua
-- fail: add attempts and failures of a key to the current bucket, and return the sums of the window.
-- KEYS  hash of buckets
-- ARGV  attempts, failures, bucket ms, number of buckets
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local width, count = tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = math.floor(now / width)
redis.call('HINCRBY', KEYS[1], 'a' .. bucket, ARGV[1])
redis.call('HINCRBY', KEYS[1], 'f' .. bucket, ARGV[2])
redis.call('PEXPIRE', KEYS[1], width * (count + 1))
local all = redis.call('HGETALL', KEYS[1])
local attempts, failures, old = 0, 0, {}
for i = 1, #all, 2 do
  local sort, at = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
  if at <= bucket - count then
    old[#old + 1] = all[i]
  elseif sort == 'a' then
    attempts = attempts + tonumber(all[i + 1])
  else
    failures = failures + tonumber(all[i + 1])
  end
end
if #old > 0 then redis.call('HDEL', KEYS[1], unpack(old)) end
return {attempts, failures}
