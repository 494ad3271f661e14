package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
)

const (
	// mostAsking bounds the keys that are tested at one time, whoever asks.
	mostAsking = 8
	// mostTested bounds the keys of one test.
	mostTested = 1000
	// askWithin bounds the test of one key, testWithin a whole test.
	askWithin  = 30 * time.Second
	testWithin = 5 * time.Minute
)

// tested is what the upstream said of a key.
type tested struct {
	ID      string  `json:"id"`
	OK      bool    `json:"ok"`
	Outcome string  `json:"outcome"`         // of the outcome table, or not_asked
	Status  int     `json:"status"`          // 0: there was no answer
	Code    string  `json:"code,omitempty"`  // the upstream's own
	Error   string  `json:"error,omitempty"` // why there was no answer
	TookMs  float64 `json:"tookMs"`
	State   string  `json:"state"` // of the key, after that
}

// testKey asks the upstream about one key.
func (a *API) testKey(c *gin.Context) error {
	id := c.Param("id")
	if err := noQuery(c); err != nil {
		return err
	}
	k, found := a.Catalog.Current().Key(id)
	if !found {
		return noSuch("key")
	}
	result := a.ask(c.Request.Context(), k.Key)
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.test", id, result.Outcome)
	return answer(c, http.StatusOK, result)
}

// testKeys asks the upstream about those that are named, or that the filters let through.
func (a *API) testKeys(c *gin.Context) error {
	keys, err := a.toTest(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), testWithin)
	defer cancel()
	results := make([]tested, len(keys))
	next := make(chan int)
	var askers sync.WaitGroup
	for range min(mostAsking, len(keys)) {
		askers.Go(func() {
			for i := range next {
				results[i] = a.ask(ctx, keys[i])
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	askers.Wait()
	body := struct {
		OK      int      `json:"ok"`
		Failed  int      `json:"failed"`
		Results []tested `json:"results"`
	}{Results: results}
	for _, r := range results {
		if r.OK {
			body.OK++
		} else {
			body.Failed++
		}
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.test", "", fmt.Sprintf("%d keys, %d accepted", len(keys), body.OK))
	return answer(c, http.StatusOK, body)
}

// toTest are the keys that a request names in its body, or else by its filters.
func (a *API) toTest(c *gin.Context) (keys []*proxy.Key, err error) {
	q := queryOf(c)
	wanted := readKeyFilter(q)
	if err := q.end(); err != nil {
		return nil, err
	}
	if hasBody(c) {
		if c.Request.URL.RawQuery != "" {
			return nil, wrong("ids", "name keys by ids or by filters, not by both")
		}
		return a.named(c, mostTested)
	}
	for _, row := range a.rows(wanted) {
		keys = append(keys, row.Key.Key)
	}
	if len(keys) > mostTested {
		return nil, proxy.Faultf(proxy.TooLarge, "at most %d keys are tested at once; the filters let %d through", mostTested, len(keys))
	}
	return keys, nil
}

// ask tests one key as soon as there is room for it.
func (a *API) ask(ctx context.Context, k *proxy.Key) tested {
	result := tested{ID: k.ID, Outcome: "not_asked"}
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		within, done := context.WithTimeout(ctx, askWithin)
		v, took, known := a.Keys.Check(within, k.ID)
		done()
		if known {
			result.OK, result.Outcome, result.Status = v.Outcome == proxy.Served, v.Outcome.String(), v.Status
			result.Code, result.TookMs = safe(v.Code, k), ms(took)
			if v.Err != nil {
				result.Error = safe(v.Err.Error(), k)
			}
		}
	}
	if now, known := a.Keys.State(k.ID); known {
		result.State = now.State
	}
	return result
}

// safe is a text of an upstream or of the network without the key, which some repeat.
func safe(text string, k *proxy.Key) string {
	text = hidden(strings.ToValidUTF8(text, "?"), k)
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// hidden is a text without the key. A file may have it in its note.
func hidden(text string, k *proxy.Key) string {
	return strings.ReplaceAll(text, k.Secret.Reveal(), k.Secret.Masked())
}
