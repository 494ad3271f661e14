// Package rollout holds the test of a rolling update: three replicas of the real binary behind nginx and behind Caddy, as
// deploy/nginx and deploy/caddy configure them, are replaced one after the other while streams are open and requests keep
// coming. No request may fail, every stream must arrive byte for byte, nothing may reach the upstream twice, and the ledger
// must have counted each request once.
//
// `go test ./pkg/rollout` rolls once under 100 streams; `make roll` five times under 1,000.
package rollout
