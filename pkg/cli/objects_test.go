package cli_test

import (
	"fmt"
	"strings"
	"testing"

	"openai-api-proxy/pkg/cli"
)

// What is stored upstream changes hands by the command line as by the API.
func TestObjects(t *testing.T) {
	p := start(t, map[string]string{"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"mine","token":%q},{"id":"one","token":%q,"group":"us"}]`, clientToken, clientToken+"-of-another")})
	s := shellFor(p.url)
	r := s.ok(t, "", words("objects list --client mine --family file"))
	if r.out != "FAMILY\tID\tACCOUNT\tCREATED\n" {
		t.Errorf("nothing is listed as %q", r.out)
	}
	s.ok(t, "", words("objects adopt --client mine --account a --created 2026-05-01T00:00:00Z file-1 vs_1"), "adopted 2 for client mine\n")
	s.ok(t, "", words("objects adopt --client mine --account a --created 10m rtc_1"), "adopted 1 for client mine\n")
	s.ok(t, "", words("objects list --client mine --family file"), "file\tfile-1\ta\t2026-05-01 00:00:00\n")
	s.ok(t, "", words("objects list --client mine --family call"), "call\trtc_1\ta\t")
	s.ok(t, "", words("objects adopt --group us --account b --family voice odd"), "adopted 1 for group us\n")
	s.ok(t, "", words("objects list --group us --family voice"), "voice\todd\tb\t")
	s.ok(t, "", words("objects list --client one --family voice"), "voice\todd\tb\t")

	var many strings.Builder
	many.WriteString("# those of last year\n\n")
	for i := range 2500 {
		fmt.Fprintf(&many, "file-many%d\n", i)
	}
	s.ok(t, many.String(), words("objects adopt --client mine --account b -"), "adopted 2500 for client mine\n")
	r = s.ok(t, "", words("objects list --client mine --family file --all"))
	if n := strings.Count(r.out, "\tb\t"); n != 2500 || r.err != "" {
		t.Errorf("%d are listed, and %q is said", n, r.err)
	}
	if r = s.ok(t, "", words("objects list --client mine --family file --limit 10")); strings.Count(r.out, "\n") != 11 || !strings.Contains(r.err, "--all") {
		t.Errorf("of ten %q is said:\n%s", r.err, r.out)
	}
	s.ok(t, many.String(), words("objects disown --client mine -"), "disowned 2500 of client mine\n")
	if r = s.ok(t, "", words("objects list --client mine --family file --all")); strings.Count(r.out, "\n") != 2 {
		t.Errorf("left are %s", r.out)
	}
	s.fails(t, cli.Failed, words("objects adopt --client mine --account a odd"), "say family")
	s.fails(t, cli.Failed, words("objects adopt --client mine --account nosuch file-2"), "no key has this account")
	s.fails(t, cli.Failed, words("objects adopt --client nosuch --account a file-2"), "no such client")
	s.fails(t, cli.Failed, words("objects list --client mine --family odd"), "family")
	s.fails(t, cli.Failed, words("objects disown --group nosuch file-1"), "no such group")
	s.ok(t, "", words("audit --all"), "object.adopt\tc/mine", "object.disown\tc/mine")
}
