// Package chaos is a storm: real processes of the proxy, a real Redis, a scripted upstream and many callers, while replicas are
// killed, Redis is frozen, killed and started again, and keys fail. It holds tests only. `make chaos` runs it for three
// minutes and has a Redis fail over afterwards, `make test` runs it for seconds; `go test ./...` leaves it out, because it wants
// the machine for itself:
//
//	go test ./pkg/chaos -run TestChaos -v -chaos.for=3m -chaos.seed=1 -chaos.kills=false
//
// The seed decides which fault comes when, and what each caller asks; how the processes interleave is the machine's. How late the
// machine was is known all along (pacer): what is checked to the millisecond allows for it, and a failure says it.
//
// Three books are kept of every request and held against one another when the storm is over: what its caller saw (call),
// what the upstream did for it and billed (exchange), and what the proxy remembers of it (row). A caller names a request in
// X-Client-Request-Id, which the upstream sees; the proxy answers its own id in X-Proxy-Request-Id, under which the row is
// found, and the row names the upstream's exchange.
//
// # Which requests must have a row
//
// A row is written when a request has ended, so a request that has not ended when its replica is killed has none, and needs
// none: its caller saw a cut answer or none at all. Precisely, by what the caller saw:
//
//   - It ended whole: it must have exactly one row, whenever its replica is killed. The row is in the journal before the last byte of
//     the answer leaves.
//   - It was cut by the upstream or left by its caller, and its replica was not killed within 50 ms of that (edge): it must have
//     exactly one row. If it was, it may have one: the replica had not noticed yet. These are counted as "at the edge".
//   - Its replica was killed before the caller saw an end: it may have one row, if it was killed in the moment after it was
//     written. These are counted as "unfinished".
//   - It was never accepted, since its replica was not running: it has none.
//
// killsLoseNothing set to false is for replicas without a DATA_DIR. Then the edge holds for all, and a kill may take what was not told
// to Redis yet: what ended in the last 100 ms, which is how often it is told, and the two edges around; and, if Redis was away
// then or in the two seconds before, what ended since Redis went away. Such rows are counted as "lost by kills", with how old they
// were. A row that is missing although its replica was not killed afterwards, and one that is there twice, are failures in any case.
//
// # What is held against the bill
//
// The upstream bills the prompt when it begins to answer, and each token when it has sent it, also if the caller leaves or the
// answer is cut later. What a strict client is billed in all its requests never exceeds its quota, and never what Redis counted
// of it. A row whose usage is exact says what was billed; one whose answer was cut says at most as much output, and that it is
// partial.
//
// A limit by time is checked where Redis answers: in any span T in which no replica decided without it the upstream began at
// most burst + rate x (T + lease life) requests, and no more at a time than there are slots. Only clients that may be served
// from a lease have a lease life; see pkg/admission.
package chaos
