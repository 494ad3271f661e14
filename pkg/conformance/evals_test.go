package conformance

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Evaluations, their runs and what those found, through two replicas over three accounts, of which one replica is killed in the
// middle; see node/evals.mjs. The Go SDK has no evaluations.
func TestEvals(t *testing.T) {
	p := newPair(t)
	script := exec.CommandContext(t.Context(), "node", "evals.mjs")
	script.Dir = "node"
	script.Env = append(os.Environ(), "REPLICAS="+p.urls(), "OPENAI_API_KEY="+sdk, "OTHER_API_KEY="+other)
	complaint := new(output)
	script.Stderr = complaint
	in, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	var evals []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "restart":
			p.restart(t)
			fmt.Fprintln(in, p.urls())
		case line == "done":
			p.holders(t, "/v1/evals", evals)
			fmt.Fprintln(in, "go on")
		case strings.HasPrefix(line, "/v1/evals/"):
			evals = append(evals, strings.TrimPrefix(line, "/v1/evals/"))
		}
	}
	if err := script.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, complaint)
	}
	if len(evals) != 6 {
		t.Errorf("%d evals", len(evals))
	}
	p.stayed(t)
}

// urls are where the replicas are, for a client in another process.
func (p *pair) urls() string { return p.replicas[0].url + "/v1 " + p.replicas[1].url + "/v1" }
