package cli

import (
	"context"
	"flag"
	"net/url"
	"strconv"
)

func alerts() *command {
	limit := 50
	return &command{name: "alerts list", about: "the latest alerts of the fleet, newest first",
		flags: func(f *flag.FlagSet) { f.IntVar(&limit, "limit", 50, "at most `n`, up to 1000") },
		run: func(ctx context.Context, s *session) error {
			var a alertsAnswer
			if done, err := s.answered(s.api.get(ctx, "/api/alerts", url.Values{"limit": {strconv.Itoa(limit)}}, &a)); done {
				return err
			}
			t := &table{head: []string{"AT", "EVENT", "TEXT", "REPLICA"}}
			for _, one := range a.Data {
				t.add(one.At, one.Event, one.Text, one.Replica)
			}
			s.print(t)
			if !a.Webhook {
				s.say("no webhook is called: ALERT_WEBHOOK_URL is not set")
			}
			return nil
		}}
}

func alertsTest() *command {
	return &command{name: "alerts test", about: "call the webhook for alerts once, and say what came of it",
		run: func(ctx context.Context, s *session) error {
			var a testedWebhook
			text, err := s.api.call(ctx, "POST", "/api/alerts/test", nil, nil, &a)
			switch {
			case err != nil:
				return err
			case s.json:
				err = s.raw(text)
			case a.Delivered:
				s.say("delivered in %.0f ms", a.TookMs)
			default:
				s.say("not delivered: %s", oneLine(a.Error))
			}
			if err == nil && !a.Delivered {
				return errTold
			}
			return err
		}}
}
