package redisstate

import (
	"strconv"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/state"
)

// keys knows every key name. Each script touches keys of one hash tag only, so that it runs in one slot of a Cluster.
type keys struct{ prefix string }

// cursor is a counter: "oap:{p:<pool>}".
func (k keys) cursor(pool string) string { return k.prefix + ":{p:" + pool + "}" }

// limits is the hash of all limits of a subject, "c:team-a", "k:key1" or "a:org-a": "oap:{c:team-a}".
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

// batch is the number of the last part that was taken in from a source: "oap:{usage}:batch:<source>".
func (k keys) batch(source string) string { return k.prefix + ":{usage}:batch:" + source }

// series is the hash of what one kind used in the step that holds a time, by id: "oap:{usage}:m:1767225600:client".
func (k keys) series(step state.Step, at time.Time, kind state.Kind) string {
	return k.prefix + ":{usage}:" + string(step[0]) + ":" + strconv.FormatInt(step.Start(at).Unix(), 10) + ":" + string(kind)
}

// requests is the stream of the latest requests: "oap:{usage}:requests".
func (k keys) requests() string { return k.prefix + ":{usage}:requests" }

// objects is the hash of what an owner has of a family: "oap:{o:c/team-a}:file"; the order in which it was made, and what is
// gone of it, are beside it.
func (k keys) objects(owner string, f openai.Family) string {
	return k.prefix + ":{o:" + owner + "}:" + string(f)
}
func (k keys) objectOrder(owner string, f openai.Family) string {
	return k.objects(owner, f) + ":order"
}
func (k keys) goneObjects(owner string, f openai.Family) string { return k.objects(owner, f) + ":gone" }

// told is held by whoever told an alert of that name: "oap:{alerts}:told:<name>", ended likewise of one that ended. What lasts is a
// hash beside it, and the latest alerts are a stream.
func (k keys) told(name string) string  { return k.prefix + ":{alerts}:told:" + name }
func (k keys) ended(name string) string { return k.prefix + ":{alerts}:ended:" + name }
func (k keys) lasting() string          { return k.prefix + ":{alerts}:lasting" }
func (k keys) alerts() string           { return k.prefix + ":{alerts}:latest" }

// failures is the prefix of the counters of failed authentications, by address: "oap:failures:auth:1m0s:192.0.2.1/32".
func (k keys) failures() string { return k.prefix + ":failures" }

// replicas is the sorted set of heartbeats: "oap:{replicas}"; which configuration each replica runs is a hash beside it.
func (k keys) replicas() string { return k.prefix + ":{replicas}" }
func (k keys) configs() string  { return k.prefix + ":{replicas}:config" }

// infos is the hash of what each replica tells of itself: "oap:{replicas}:info".
func (k keys) infos() string { return k.prefix + ":{replicas}:info" }

// items is the hash of all that is configured at run time: "oap:{cfg}:items"; its version and the log of what each version
// changed are beside it, and the notes of what operators did.
func (k keys) items() string          { return k.prefix + ":{cfg}:items" }
func (k keys) catalogVersion() string { return k.prefix + ":{cfg}:version" }
func (k keys) catalogLog() string     { return k.prefix + ":{cfg}:log" }
func (k keys) notes() string          { return k.prefix + ":{cfg}:notes" }

// applied is the version that an Apply made: "oap:{cfg}:applied:<token>".
func (k keys) applied(token string) string { return k.prefix + ":{cfg}:applied:" + token }

// restoring is the hash of items on their way back: "oap:{cfg}:restore:<token>".
func (k keys) restoring(token string) string { return k.prefix + ":{cfg}:restore:" + token }

// refresh counts the orders to read the configuration file anew: "oap:{cfg}:refresh".
func (k keys) refresh() string { return k.prefix + ":{cfg}:refresh" }

// catalogChannel carries each version and each order to refresh as a hint.
func (k keys) catalogChannel() string { return k.prefix + ":cfg" }

// format holds the version of this layout: "oap:format".
func (k keys) format() string { return k.prefix + ":format" }
