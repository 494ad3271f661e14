package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	// heartbeat is how often a stream says that it lives.
	heartbeat = 15 * time.Second
	// eventWithin is how long a listener may leave one write unread.
	eventWithin = 10 * time.Second
)

// events streams what happens until the listener leaves or the proxy stops.
func (a *API) events(c *gin.Context) error {
	q := queryOf(c)
	types := q.words("types", eventTypes...)
	if err := q.end(); err != nil {
		return err
	}
	if types == nil {
		types = eventTypes
	}
	l, err := a.feed.join(types)
	if err != nil {
		return err
	}
	defer a.feed.leave(l)
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no") // nginx would hold events back
	c.Status(http.StatusOK)
	s := stream{c.Writer, http.NewResponseController(c.Writer)}
	defer func() { _ = s.rc.SetWriteDeadline(time.Time{}) }()
	if s.write([]byte("retry: 3000\n: listening\n\n")) != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		frame := []byte(": \n\n")
		select {
		case <-c.Request.Context().Done():
			return nil
		case <-a.feed.gone:
			return nil
		case <-beat.C:
		case frame = <-l.queue:
		}
		if s.write(frame) != nil || s.tellMissed(l) != nil {
			return nil
		}
	}
}

// stream is the answer that events go into.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (s stream) write(frame []byte) error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(eventWithin)) // not every server can
	if _, err := s.w.Write(frame); err != nil {
		return err
	}
	return s.rc.Flush()
}

// tellMissed says how many events the listener did not get, once it has all that were queued before them.
func (s stream) tellMissed(l *listener) error {
	if len(l.queue) > 0 {
		return nil
	}
	if n := l.missed.Swap(0); n > 0 {
		return s.write(fmt.Appendf(nil, "event: missed\ndata: {\"missed\":%d}\n\n", n))
	}
	return nil
}
