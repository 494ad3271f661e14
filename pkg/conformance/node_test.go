package conformance

import (
	"os"
	"os/exec"
	"testing"
)

func TestNodeSDK(t *testing.T) {
	r := start(t)
	r.fault(t, map[string]any{"key": "*", "kind": "silence", "model": "endless", "after_chunks": 4})
	p := exec.CommandContext(t.Context(), "node", "--test", "sdk.test.mjs")
	p.Dir = "node"
	p.Env = append(os.Environ(), "OPENAI_BASE_URL="+r.url+"/v1", "OPENAI_API_KEY="+token,
		"NODE_OPTIONS=--experimental-websocket") // Node 20 keeps the browser's WebSocket behind a flag
	out, err := p.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	eventually(t, "the upstream sees the abort", func() bool { return r.aborted(t) == 1 })
}
