package redisstate

import "openai-api-proxy/pkg/state"

// keys knows every key name. Each script touches keys of one hash tag only, so that it runs in one slot of a Cluster.
type keys struct{ prefix string }

// cursor is a counter: "oap:{p:<pool>}".
func (k keys) cursor(pool string) string { return k.prefix + ":{p:" + pool + "}" }

// limits is the hash of all limits of a subject, "c:team-a" or "k:key1": "oap:{c:team-a}".
func (k keys) limits(subject string) string { return k.prefix + ":{" + subject + "}" }

// open is the sorted set of a subject's reservations that can be settled, "oap:{c:team-a}:open", slots that of those which
// hold a slot, "oap:{c:team-a}:slots".
func (k keys) open(subject string) string  { return k.limits(subject) + ":open" }
func (k keys) slots(subject string) string { return k.limits(subject) + ":slots" }

// seen is the hash of what all replicas saw of a key in the last seconds: "oap:{k:key1}:seen".
func (k keys) seen(key string) string { return k.prefix + ":{k:" + key + "}:seen" }

// rests is the hash of all rests, by subject: "oap:{rests}"; its ends are a sorted set beside it, which bounds it.
func (k keys) rests() string { return k.prefix + ":{rests}" }
func (k keys) ends() string  { return k.prefix + ":{rests}:ends" }

// restsVersion counts the changes of the rests: "oap:{rests}:version".
func (k keys) restsVersion() string { return k.prefix + ":{rests}:version" }

// restsChannel carries each changed rest as a hint.
func (k keys) restsChannel() string { return k.prefix + ":rests" }

// claim is held by who probes a subject: "oap:{probe:key/key1}".
func (k keys) claim(s state.Subject) string { return k.prefix + ":{probe:" + subjectName(s) + "}" }

// usage is the hash of all usage totals: "oap:{usage}".
func (k keys) usage() string { return k.prefix + ":{usage}" }

// batch is the number of the last batch that was taken in from a replica: "oap:{usage}:batch:<epoch>".
func (k keys) batch(epoch string) string { return k.prefix + ":{usage}:batch:" + epoch }

// failures is the prefix of the counters of failed authentications, by address: "oap:failures:auth:1m0s:192.0.2.1/32".
func (k keys) failures() string { return k.prefix + ":failures" }

// replicas is the sorted set of heartbeats: "oap:{replicas}"; which configuration each replica runs is a hash beside it.
func (k keys) replicas() string { return k.prefix + ":{replicas}" }
func (k keys) configs() string  { return k.prefix + ":{replicas}:config" }

// format holds the version of this layout: "oap:format".
func (k keys) format() string { return k.prefix + ":format" }
