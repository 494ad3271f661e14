package chaos

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

// verdict collects what was found.
type verdict struct {
	t         testing.TB
	db        redis.UniversalClient
	clients   []*client
	report    *report
	pacer     *pacer
	away      []span // in which Redis was away, or too slow for a replica
	overshoot int64  // tokens that strict clients were billed beyond their quotas
	spent     int64  // how many of them used theirs up, but for a twentieth
	exact     int64  // rows whose usage is what was billed
	partial   int64  // rows of answers that were cut, whose usage is an estimate
	failures  int
}

// mostTold is how many failures are told: one bug makes thousands.
const mostTold = 20

// newVerdict reads the state where the options say.
func newVerdict(t testing.TB, to *report, clients []*client, where redis.UniversalOptions) *verdict {
	db := redis.NewUniversalClient(&where)
	t.Cleanup(func() { db.Close() })
	p := startPacer()
	t.Cleanup(p.end)
	return &verdict{t: t, db: db, clients: clients, report: to, pacer: p}
}

func (v *verdict) print(format string, args ...any) {
	v.t.Helper()
	v.t.Logf(format, args...)
}

func (v *verdict) check(holds bool, format string, args ...any) {
	if !holds {
		v.t.Helper()
		v.fail(format, args...)
	}
}

func (v *verdict) fail(format string, args ...any) {
	v.t.Helper()
	if v.failures++; v.failures <= mostTold {
		v.t.Error(fmt.Sprintf(format, args...))
	} else {
		v.t.Fail()
	}
}
