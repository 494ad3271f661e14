package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"
)

const (
	// wholeWithin and quickWithin bound a checkup, the cleaning up not counted.
	wholeWithin = time.Minute
	quickWithin = 25 * time.Second
	// cleanWithin bounds the cleaning up, which goes on when the checkup is interrupted.
	cleanWithin = 20 * time.Second
)

func doctor() *command {
	c := &checkup{}
	return &command{name: "doctor", about: "drive a built-in mock upstream through all replicas and check what they promise",
		more: "It makes a pool of its own with made-up keys and clients, which no caller of yours can use and which uses none of your keys,\n" +
			"and deletes all of it at the end, also when it fails or is interrupted. What it used stays in the totals, under the model\n" +
			model + " and clients called doctor-... . It needs the admin token and, with Redis, ENCRYPTION_KEY on the proxy. The proxy must\n" +
			"reach the mock: name an address of this machine that it can use by --advertise when it cannot find it itself, as from a container.",
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&c.quick, "quick", false, "fewer requests, for a first look")
			f.StringVar(&c.listen, "listen", "", "`host:port` where the mock listens; a free port where the proxy reaches it otherwise")
			f.StringVar(&c.advertise, "advertise", "", "`address` under which the proxy reaches the mock, such as http://10.0.0.7:9100")
			f.StringVar(&c.callers, "callers-url", "", "`address` that callers use, where it is not that of operators (ADMIN_ADDR)")
			f.BoolVar(&c.endKeys, "make-clients", false, "go on although the first client ends for good that upstream keys are tokens")
		},
		run: c.run}
}

// checkup is one run of the doctor.
type checkup struct {
	quick, endKeys             bool
	listen, advertise, callers string

	s        *session
	report   report
	settings settingsAnswer
	replicas replicasAnswer
	stage    *stage
	pool     throwaway
}

// run checks everything that can be checked. Each check stands for itself: one that fails does not keep the next from
// running, but for the first, without which nothing can be.
func (c *checkup) run(ctx context.Context, s *session) (err error) {
	c.s, c.report = s, report{s: s}
	outer := ctx
	within := wholeWithin
	if c.quick {
		within = quickWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer func() {
		if outer.Err() != nil {
			err = errors.New("interrupted")
		} else if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("it took longer than %s: %w", within, err)
		}
		err = c.report.end(err)
	}()
	if err := c.look(ctx); err != nil {
		return err
	}
	if c.stage, err = raise(c.s.api.host, c.listen, c.advertise); err != nil {
		return err
	}
	defer c.stage.close()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		c.report.add(c.clean(ctx))
	}()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	for _, check := range []func(context.Context) []finding{c.shares, c.streams, c.limit, c.usage, c.trip} {
		found := check(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.report.add(found...)
	}
	return nil
}

// look finds out what there is, and whether it may be examined.
func (c *checkup) look(ctx context.Context) error {
	if _, err := c.s.api.get(ctx, "/api/settings", nil, &c.settings); err != nil {
		return err
	}
	if c.settings.Auth.Mode == "keys" && !c.endKeys {
		return errors.New("there is no client yet, so that upstream keys are tokens; the clients that doctor makes would end that for good. " +
			"Add a client of your own first (openai-api-proxy clients add), or say --make-clients")
	}
	if _, err := c.s.api.get(ctx, "/api/replicas", nil, &c.replicas); err != nil {
		return err
	}
	c.report.add(alike(c.replicas.Data))
	return nil
}

// alike says whether all replicas run the same.
func alike(all []replica) finding {
	versions, configs := map[string]bool{}, map[string]bool{}
	mistakes, unready := 0, 0
	for _, r := range all {
		versions[r.Version], configs[r.Config.Fingerprint] = true, true
		if r.Config.Error != "" {
			mistakes++
		}
		if !r.Ready {
			unready++
		}
	}
	f := finding{Name: "replicas", Figures: figures{"replicas": len(all), "versions": len(versions), "configurations": len(configs),
		"withMistakes": mistakes, "notReady": unready}}
	f.OK = len(all) > 0 && len(versions) == 1 && len(configs) == 1 && mistakes == 0 && unready == 0
	f.Text = fmt.Sprintf("%d, %s, %s", len(all), count(len(versions), "version"), count(len(configs), "configuration"))
	if unready > 0 {
		f.Text += fmt.Sprintf(", %d not ready", unready)
	}
	if mistakes > 0 {
		f.Text += fmt.Sprintf(", %d with a configuration that cannot be loaded; see openai-api-proxy replicas", mistakes)
	}
	return f
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// setting is the value of a setting, into v; left alone when there is none.
func (a *settingsAnswer) setting(name string, v any) {
	for _, one := range a.Settings {
		if one.Name == name {
			_ = json.Unmarshal(one.Value, v)
		}
	}
}
