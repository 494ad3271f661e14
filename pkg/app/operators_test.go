package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"openai-api-proxy/pkg/redistest"
)

// amend changes an item that was read with an ETag.
func (r *rig) amend(t *testing.T, path, etag, body string) answer {
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", r.url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", etag)
	return r.send(t, req, adminToken)
}

// Of two operators who read the same item and change it through two replicas one wins, in Redis as in a single instance. The
// other is told, and both replicas show what the winner said. Items of file and environment are changed by an override, others
// in place: both are tried.
func TestOfTwoOperatorsOneWins(t *testing.T) {
	_, url := upstream(t)
	both := fleet(t, redistest.Start(t), 2, map[string]string{"OPENAI_BASE_URL": url, "ENCRYPTION_KEY": sealing,
		"OPENAI_API_KEYS": `[{"id":"of-env","key":"` + keyNumber(1) + `"}]`, "CLIENT_TOKENS": `[{"id":"env-client","token":"` + tokenOf("env") + `"}]`})
	both[0].addKey(t, "mine")
	both[0].addClient(t, "mine")
	for _, path := range []string{"/api/keys/of-env", "/api/clients/env-client", "/api/keys/mine", "/api/clients/mine"} {
		for round := range 8 { // the management API takes 600 requests a minute
			// An override from which to start: taking back one that there is not changes nothing, and so offends nobody.
			if a := both[round%2].amend(t, path, "*", `{"enabled":false}`); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			var etag string
			eventually(t, "both replicas are at one revision", func() bool {
				one, other := both[0].get(t, path, adminToken), both[1].get(t, path, adminToken)
				etag = one.header.Get("ETag")
				return one.status == 200 && etag == other.header.Get("ETag") && etag != `"0"`
			})
			said := [2]string{`{"enabled":false}`, `{"enabled":true}`}
			var told [2]answer
			var ready sync.WaitGroup
			start := make(chan struct{})
			for i, r := range both {
				ready.Go(func() {
					<-start
					told[i] = r.amend(t, path, etag, said[(i+round)%2])
				})
			}
			close(start)
			ready.Wait()
			if told[0].status+told[1].status != http.StatusOK+http.StatusConflict {
				t.Fatalf("%s, round %d: answered %d and %d, want one 200 and one 409: %s %s", path, round, told[0].status, told[1].status, told[0].body, told[1].body)
			}
			winner := 0
			if told[1].status == http.StatusOK {
				winner = 1
			}
			want := strings.Trim(said[(winner+round)%2], "{}")
			eventually(t, fmt.Sprintf("%s is on both replicas what the winner of round %d said", path, round), func() bool {
				one, other := both[0].get(t, path, adminToken), both[1].get(t, path, adminToken)
				return one.header.Get("ETag") == other.header.Get("ETag") && strings.Contains(one.body, want) && strings.Contains(other.body, want)
			})
		}
	}
}
