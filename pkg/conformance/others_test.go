package conformance

import "testing"

// nothing checks that the other client's list is empty.
func nothing(t *testing.T, got []string, err error) {
	t.Helper()
	if err != nil || len(got) != 0 {
		t.Errorf("another client lists %v, %v", got, err)
	}
}

// rounds does something six times, and kills one replica in the middle.
func (p *pair) rounds(t *testing.T, do func()) {
	t.Helper()
	const rounds = 6
	for i := range rounds {
		if i == rounds/2 {
			p.restart(t)
		}
		do()
	}
}
