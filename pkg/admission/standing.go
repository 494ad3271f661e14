package admission

import "openai-api-proxy/pkg/proxy"

// Standings is how each limit of the client stood before the request and stands after it, as far as the state has told;
// a request that was refused took nothing.
func (p *Permit) Standings(refused bool) (before, after []proxy.Standing) {
	if p == nil {
		return nil, nil
	}
	for i, b := range p.balances {
		s := proxy.Standing{Limit: b.Limit, Left: b.Left, ResetMs: -1}
		if b.Reset >= 0 {
			s.ResetMs = b.Reset.Milliseconds()
		}
		after = append(after, s)
		if !refused && i < len(p.charges) {
			s.Left += p.charges[i].Cost
		}
		before = append(before, s)
	}
	return before, after
}
