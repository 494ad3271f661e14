package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/proxy"
)

// diskPatience is how long the end of a request waits for rows of others that are on their way to the disk. A write takes
// microseconds, and tens of milliseconds while the file system is busy with somebody's sync. When it hangs, the requests that
// end meanwhile are in memory only, and only the first of them wait so long.
const diskPatience = time.Second

// hold waits for the line, in which records enter the journal and what is pending in the same order.
func (m *Meter) hold() bool {
	select {
	case m.line <- struct{}{}:
		if m.hangs.CompareAndSwap(true, false) {
			m.log.Info("the disk answers again: requests are written to the journal")
		}
		return true
	default:
	}
	if m.hangs.Load() {
		return false
	}
	timer := time.NewTimer(diskPatience)
	defer timer.Stop()
	select {
	case m.line <- struct{}{}:
		return true
	case <-timer.C:
		if m.hangs.CompareAndSwap(false, true) {
			m.log.Warn("requests are counted in memory only: the disk does not answer")
		}
		return false
	}
}

func (m *Meter) letGo() { <-m.line }

// keep writes a record to the journal, and then adds it to what is pending. False: it is in neither.
func (m *Meter) keep(rec *proxy.Record, model string, request []byte) bool {
	if m.dir.Path == "" {
		return false
	}
	if !m.hold() {
		m.unkept.Inc()
		return false
	}
	defer m.letGo()
	j := m.own.Load()
	if j == nil {
		m.unkept.Inc()
		return false
	}
	number, err := j.Append(appendRow(request, rec, model))
	m.tellKept(err)
	if err != nil {
		m.unkept.Inc()
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.addKept(rec, model, request, number)
	return true
}

// tellKept logs when the journal begins to fail and when it works again. Whoever calls it holds the line.
func (m *Meter) tellKept(err error) {
	before := m.unwritable.Load()
	switch {
	case err != nil && before == nil:
		m.log.Warn("requests are counted in memory only: the journal cannot be written", "error", err)
	case err == nil && before != nil:
		m.log.Info("requests are written to the journal again")
	default:
		return
	}
	if err == nil {
		m.unwritable.Store(nil)
	} else {
		why := err // which alone is on the heap
		m.unwritable.Store(&why)
	}
}

// begin begins the journal of this process, if there is none yet.
func (m *Meter) begin() {
	if m.dir.Path == "" || m.own.Load() != nil || !m.hold() {
		return
	}
	defer m.letGo()
	j, err := m.dir.New()
	m.tellKept(err)
	if err == nil {
		m.own.Store(j)
	}
}

// flushKept writes what is in the journal, oldest first, each portion as the batch that a mark makes of it. What cannot be
// marked waits: without the mark the next process would not know that it was sent.
func (m *Meter) flushKept(ctx context.Context) error {
	j := m.own.Load()
	if j == nil {
		return nil
	}
	m.cutKept()
	for m.waiting(&m.pending.kept) > 0 {
		p := m.take(&m.pending.kept)
		err := m.sendKept(ctx, j, &p)
		if err == nil {
			continue
		}
		m.putBack(&m.pending.kept, p)
		if errors.Is(err, errUnmarked) {
			break
		}
		return err
	}
	j.Counted(m.store.Counted(j.Source()))
	return nil
}

// cutKept cuts between two rows. If the disk hangs, it is done the next time.
func (m *Meter) cutKept() {
	if !m.hold() {
		return
	}
	defer m.letGo()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.kept.cut(time.Now())
}

var errUnmarked = errors.New("the journal cannot be written")

// sendKept writes one portion, marking it before the first time.
func (m *Meter) sendKept(ctx context.Context, j *journal.Journal, p *portion) (err error) {
	if p.mark.Number == 0 {
		if p.mark, err = j.Seal(p.end, p.minute); err != nil {
			return fmt.Errorf("%w: %w", errUnmarked, err)
		}
	}
	b := p.batch()
	b.Source, b.Number = j.Source(), p.mark.Number
	if p.onDisk {
		b.Requests = nil
		err = j.Read(p.mark.From, p.mark.End, func(_ int64, text []byte) bool {
			b.Requests = append(b.Requests, text[:len(text)-1])
			return true
		})
		if err != nil { // the disk again: they are still there
			return fmt.Errorf("%w: %w", errUnmarked, err)
		}
	}
	err = m.store.Count(ctx, b)
	m.report(err)
	return err
}

var errHangs = errors.New("the disk does not answer")

// JournalError says why finished requests are not written to the journal; nil: they are, or there is none by choice.
func (m *Meter) JournalError() error {
	if err := m.unwritable.Load(); err != nil {
		return *err
	}
	if m.hangs.Load() {
		return errHangs
	}
	return nil
}

// Leave gives the journals up. It is to be called when the Meter and then the store were closed: only then it is known what
// need not be sent again.
func (m *Meter) Leave() error {
	select {
	case <-m.done:
	default:
		return nil // something hangs: what it holds is the next process's
	}
	var errs []error
	for _, j := range []*journal.Journal{m.own.Load(), m.adopted.journal} {
		if j == nil {
			continue
		}
		j.Counted(m.store.Counted(j.Source()))
		errs = append(errs, j.Close())
	}
	return errors.Join(errs...)
}
