package relay

import (
	"strconv"
	"sync"

	"openai-api-proxy/pkg/admission"
)

// conversation are the responses of a session that have not ended. Both sides speak at once.
type conversation struct {
	mu    sync.Mutex          // guards all; not held while the state is asked
	asked []*admission.Permit // by the caller, of the upstream that has not begun them
	begun []*admission.Permit
	turns int // events of ours
}

func (c *conversation) ask(p *admission.Permit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, p)
}

// begin notes that a response has begun that was asked for; false: none was.
func (c *conversation) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		return false
	}
	c.begun, c.asked = append(c.begun, c.asked[0]), c.asked[1:]
	return true
}

func (c *conversation) began(p *admission.Permit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = append(c.begun, p)
}

// end is the permit of a response that has ended; nil: none had begun.
func (c *conversation) end() *admission.Permit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return first(&c.begun)
}

// refused is the permit of a response that will not begin; nil: none was asked for. It is not said whether a response was refused
// or something else: if one begins all the same, it takes another permit.
func (c *conversation) refused() *admission.Permit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return first(&c.asked)
}

func first(of *[]*admission.Permit) (p *admission.Permit) {
	if len(*of) > 0 {
		p, *of = (*of)[0], (*of)[1:]
	}
	return p
}

// turn counts the events of ours, of which each is to have a name.
func (c *conversation) turn() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	return "n" + strconv.Itoa(c.turns)
}
