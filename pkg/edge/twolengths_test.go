package edge

import "testing"

// Empty lines before the head hide nothing of it.
func TestTwoLengths(t *testing.T) {
	const post, both = "POST / HTTP/1.1\r\nHost: a\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	for head, want := range map[string]bool{
		post + both:                 true,
		"\r\n" + post + both:        true,
		"\n\r\n\r\n" + post + both:  true,
		post + "\r\n":               false,
		post + both[19:]:            false,
		post + "\r\n" + both:        false, // of the body
		"\r\n" + post + both[:19]:   false,
		post + "\r\n" + post + both: false,
	} {
		if got := (&conn{head: []byte(head)}).twoLengths(); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}
