package admin

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/state"
)

const (
	// lookWithin bounds one question to the state.
	lookWithin = 2 * time.Second
	// replicasEvery is after how many looks the replicas are listed: they come and go slowly.
	replicasEvery = 5
	// followAtOnce and followPages bound the requests that one look follows; more than a queue holds would be missed anyway.
	followAtOnce = 500
	followPages  = 3
)

// poller finds out what happens by looking at what is, and comparing. What nobody wants to hear of it does not look at. Only
// its goroutine touches what it remembers.
type poller struct {
	feed *feed
	api  *API
	end  context.CancelFunc

	keys     []balancer.KeyState // nil: not looked at yet
	config   *configNews
	replicas map[string]state.Replica
	newest   *string // where the newest request stood
	alert    *string // id of the newest alert; nil: not looked at yet
	away     *stateNews
	looks    int
	looked   atomic.Int64 // looks that are over; read by tests
}

// keyNews is the data of an event about a key.
type keyNews struct {
	ID        string     `json:"id"`
	State     string     `json:"state"`
	Before    string     `json:"before"`
	Reason    string     `json:"reason"`
	Since     *time.Time `json:"since"`
	Until     *time.Time `json:"until"`
	NextProbe *time.Time `json:"nextProbe"`
}

type configNews struct {
	Version     int64  `json:"version"`
	Fingerprint string `json:"fingerprint"`
	Error       string `json:"error,omitempty"` // why what is there now is not in force
}

type stateNews struct {
	OK            bool       `json:"ok"`
	DegradedSince *time.Time `json:"degradedSince"`
}

type replicaNews struct {
	ID      string `json:"id"`
	Host    string `json:"host"`
	Address string `json:"address"`
	Change  string `json:"change"` // joined or left
}

func (p *poller) run(ctx context.Context) {
	tick := time.NewTicker(p.feed.every)
	defer tick.Stop()
	for {
		p.look(ctx)
		p.looked.Add(1)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look compares everything that is listened to. What begins to be listened to only now is remembered and not told.
func (p *poller) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if !p.feed.wants(keyEvent) {
		p.keys = nil
	} else {
		p.lookAtKeys()
	}
	if !p.feed.wants(configEvent) {
		p.config = nil
	} else {
		p.lookAtConfig()
	}
	if !p.feed.wants(stateEvent) {
		p.away = nil
	} else {
		p.lookAtState()
	}
	if !p.feed.wants(requestEvent) {
		p.newest = nil
	} else {
		p.follow(ctx)
	}
	if !p.feed.wants(alertEvent) {
		p.alert = nil
	} else {
		p.lookAtAlerts(ctx)
	}
	if !p.feed.wants(replicaEvent) {
		p.replicas = nil
	} else if p.replicas == nil || p.looks%replicasEvery == 0 {
		p.lookAtReplicas(ctx)
	}
	p.looks++
}

// lookAtKeys walks both lists, which are sorted by id. Keys that came or went are told by an event about the configuration.
func (p *poller) lookAtKeys() {
	now, i := p.api.Keys.States(), 0
	if now == nil {
		now = []balancer.KeyState{}
	}
	for _, s := range now {
		for i < len(p.keys) && p.keys[i].Key.ID < s.Key.ID {
			i++
		}
		if i < len(p.keys) && p.keys[i].Key.ID == s.Key.ID && p.keys[i].State != s.State {
			p.feed.tell(p, keyEvent, keyNews{ID: s.Key.ID, State: s.State, Before: p.keys[i].State, Reason: s.Reason,
				Since: instant(s.Since), Until: instant(s.Until), NextProbe: instant(s.NextProbe)})
		}
	}
	p.keys = now
}

func (p *poller) lookAtConfig() {
	self := p.api.Replica()
	now := &configNews{p.api.Catalog.Current().Version, self.Config.Fingerprint, self.Config.Error}
	if p.config != nil && *p.config != *now {
		p.feed.tell(p, configEvent, now)
	}
	p.config = now
}

func (p *poller) lookAtState() {
	now := &stateNews{OK: true}
	if p.api.Degraded != nil {
		now.DegradedSince = instant(p.api.Degraded())
		now.OK = now.DegradedSince == nil
	}
	if p.away != nil && p.away.OK != now.OK {
		p.feed.tell(p, stateEvent, now)
	}
	p.away = now
}

// follow tells of the requests that finished since the last look, oldest first.
func (p *poller) follow(ctx context.Context) {
	if p.newest == nil {
		if page, err := p.api.Usage.Requests(ctx, state.RequestQuery{Limit: 1}); err == nil {
			p.newest = &page.Newest
		}
		return
	}
	ask := state.RequestQuery{Since: *p.newest, Limit: followAtOnce}
	var fresh []state.Request
	for n := range followPages {
		page, err := p.api.Usage.Requests(ctx, ask)
		if err != nil {
			return // the next look begins where this one did
		}
		if n == 0 && page.Newest != "" {
			p.newest = &page.Newest
		}
		fresh = append(fresh, page.Requests...)
		if ask.After = page.Next; ask.After == "" {
			break
		}
	}
	for _, r := range slices.Backward(fresh) {
		p.feed.tell(p, requestEvent, requestOf(&r))
	}
}

// lookAtAlerts tells of what operators were told since the last look, oldest first.
func (p *poller) lookAtAlerts(ctx context.Context) {
	after, limit := "", 1
	if p.alert != nil {
		after, limit = *p.alert, state.AlertsKept
	}
	fresh, err := p.api.Alerts(ctx, after, limit)
	if err != nil {
		return // the next look begins where this one did
	}
	if p.alert != nil {
		for _, a := range slices.Backward(fresh) {
			p.feed.tell(p, alertEvent, json.RawMessage(a.Text))
		}
	}
	if len(fresh) > 0 {
		after = fresh[0].ID
	}
	p.alert = &after
}

func (p *poller) lookAtReplicas(ctx context.Context) {
	all, err := p.api.Fleet(ctx)
	if err != nil {
		return
	}
	now := make(map[string]state.Replica, len(all))
	for _, r := range all {
		now[r.ID] = r
		if _, known := p.replicas[r.ID]; p.replicas != nil && !known {
			p.feed.tell(p, replicaEvent, replicaNews{r.ID, r.Host, r.Address, "joined"})
		}
	}
	for id, r := range p.replicas {
		if _, there := now[id]; !there {
			p.feed.tell(p, replicaEvent, replicaNews{id, r.Host, r.Address, "left"})
		}
	}
	p.replicas = now
}
