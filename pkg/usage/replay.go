package usage

import (
	"context"
	"errors"
	"time"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/state"
)

// replayEvery is how often journals that others left are looked for, and how soon one is tried again.
const replayEvery = time.Second

// adopted is the journal of a process that ended, while what it had not sent is sent in its name.
type adopted struct {
	journal *journal.Journal // nil: none
	sent    int64            // number of the last batch that was sent from here
	rows    int
}

// replays sends what other processes left, one after the other, until Close.
func (m *Meter) replays() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-m.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(replayEvery)
	defer tick.Stop()
	for {
		m.begin()
		for m.own.Load() != nil && ctx.Err() == nil && m.replay(ctx) { // there may be more of them
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// replay goes on with the journal in hand, or with the next one, and reports whether it is done with it.
func (m *Meter) replay(ctx context.Context) bool {
	a := &m.adopted
	if a.journal == nil {
		j, err := m.dir.Adopt()
		m.tellAdopted(err)
		if j == nil {
			return false
		}
		*a = adopted{journal: j}
		m.damaged.Add(float64(j.Damaged()))
	}
	if err := m.resend(ctx); err != nil {
		return false // the next tick goes on
	}
	j := a.journal
	j.Counted(m.store.Counted(j.Source()))
	if len(j.Waiting()) > 0 { // taken in, but not yet for good
		return false
	}
	err := j.Close()
	m.log.Info("what a process that ended had not counted is counted", "requests", a.rows, "damaged", j.Damaged(), "error", err)
	*a = adopted{}
	return true
}

// tellAdopted logs what cannot be read, once.
func (m *Meter) tellAdopted(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != m.unreadable {
		m.log.Warn("a journal is left alone", "error", err)
	}
	m.unreadable = text
}

// resend sends the batches that were marked, and then what was in none.
func (m *Meter) resend(ctx context.Context) error {
	a := &m.adopted
	for {
		for _, b := range a.journal.Waiting() {
			if b.Number <= a.sent {
				continue
			}
			if time.Since(b.Marked) > state.SourceLife {
				m.giveUp(b)
			} else if err := m.resendBatch(ctx, b); err != nil {
				return err
			}
			a.sent = b.Number
		}
		more, err := a.markNext()
		if err != nil || !more {
			return err
		}
	}
}

// markNext makes a batch of rows that are in none: those of one minute, the one in which they ended.
func (a *adopted) markNext() (more bool, err error) {
	from, end := a.journal.Uncut()
	if from >= end {
		return false, nil
	}
	var minute time.Time
	err = a.journal.Read(from, end, func(number int64, text []byte) bool {
		r, err := readRow(text)
		if err != nil {
			return true
		}
		at := state.ByMinute.Start(r.ended)
		if !minute.IsZero() && !at.Equal(minute) || number-from >= mostRows {
			end = number
			return false
		}
		minute = at
		return true
	})
	if err != nil {
		return false, err
	}
	if minute.IsZero() { // nothing in it can be read
		minute = time.Now()
	}
	_, err = a.journal.Seal(end, minute)
	return err == nil, err
}

// giveUp leaves out a batch that was marked longer ago than the store remembers. Nobody knows whether it was counted, and
// nothing is to be counted twice.
func (m *Meter) giveUp(b journal.Batch) {
	m.log.Warn("requests are too old to tell whether they were counted: they are left out", "requests", b.End-b.From, "marked", b.Marked)
	m.damaged.Add(float64(b.End - b.From))
	m.adopted.journal.Counted(b.Number)
}

// resendBatch sends a batch as it was, or would have been, sent by the process whose it is.
func (m *Meter) resendBatch(ctx context.Context, b journal.Batch) error {
	a := &m.adopted
	p := portion{minute: b.At, sums: sums{}}
	unread := 0
	err := a.journal.Read(b.From, b.End, func(_ int64, text []byte) bool {
		r, err := readRow(text)
		if err != nil {
			unread++
			return true
		}
		p.sums.add(r.rec, r.model)
		p.requests = append(p.requests, r.request)
		return true
	})
	if err != nil {
		return err
	}
	batch := p.batch()
	batch.Source, batch.Number = a.journal.Source(), b.Number
	if err := m.store.Count(ctx, batch); err != nil {
		if !errors.Is(err, state.ErrUnavailable) {
			m.log.Warn("what a process that ended had not counted cannot be counted yet", "error", err)
		}
		return err
	}
	a.rows += len(p.requests)
	m.replayed.Add(float64(len(p.requests)))
	m.damaged.Add(float64(unread))
	return nil
}
