package openai

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// wire makes a frame by hand.
func wire(code byte, last, masked bool, payload []byte) []byte {
	frame := []byte{code, 0}
	if last {
		frame[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		frame[1] = byte(n)
	case n < 1<<16:
		frame[1] = 126
		frame = append(frame, byte(n>>8), byte(n))
	default:
		frame[1] = 127
		frame = append(frame, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	if !masked {
		return append(frame, payload...)
	}
	frame[1] |= 0x80
	mask := []byte{1, 200, 3, 77}
	frame = append(frame, mask...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

// heard are the texts of frames that are read in pieces.
func heard(stream []byte, cuts func(left int) int) (f *Frames, texts []string) {
	f = &Frames{See: func(begin, end []byte) { texts = append(texts, string(begin)+string(end)) }}
	for len(stream) > 0 {
		n := min(max(cuts(len(stream)), 1), len(stream))
		_, _ = f.Write(stream[:n])
		stream = stream[n:]
	}
	return f, texts
}

// However a stream is cut, the same is read: masked and not, in fragments, with control frames between them.
func TestFrames(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for _, masked := range []bool{false, true} {
		var stream []byte
		stream = append(stream, wire(opText, true, masked, []byte("one"))...)
		stream = append(stream, wire(opBinary, true, masked, bytes.Repeat([]byte{1}, 70_000))...)
		stream = append(stream, wire(opText, false, masked, []byte("t"))...)
		stream = append(stream, wire(opPing, true, masked, []byte("are you there"))...)
		stream = append(stream, wire(opContinue, false, masked, nil)...)
		stream = append(stream, wire(opContinue, true, masked, []byte("wo"))...)
		stream = append(stream, wire(opText, true, masked, nil)...)
		stream = append(stream, wire(opText, true, masked, []byte(strings.Repeat("long ", 60)))...)
		stream = append(stream, CloseFrame(4001, "enough", masked)...)
		for _, cuts := range []func(int) int{func(n int) int { return n }, func(int) int { return 1 }, func(n int) int { return dice.IntN(n) + 1 },
			func(int) int { return dice.IntN(9) }} {
			f, texts := heard(stream, cuts)
			if want := []string{"one", "two", "", strings.Repeat("long ", 60)}; !slices.Equal(texts, want) {
				t.Errorf("heard %.60q", texts)
			}
			if f.Messages() != 5 || f.Closed() != 4001 || !f.Between() {
				t.Errorf("%d messages, closed %d, between %v", f.Messages(), f.Closed(), f.Between())
			}
		}
	}
}

// Of a long message both ends are kept and no more, whatever frames and pieces it comes in.
func TestLongMessages(t *testing.T) {
	long := make([]byte, 300_000)
	for i := range long {
		long[i] = byte('a' + i*7%26)
	}
	for _, pieces := range []int{1, 3, 1000, 100_000, 400_000} {
		var stream []byte
		for at := 0; at < len(long); at += 90_000 {
			code := byte(opContinue)
			if at == 0 {
				code = opText
			}
			stream = append(stream, wire(code, at+90_000 >= len(long), true, long[at:min(at+90_000, len(long))])...)
		}
		var begin, end string
		f := &Frames{See: func(b, e []byte) { begin, end = string(b), string(e) }}
		for at := 0; at < len(stream); at += pieces {
			_, _ = f.Write(stream[at:min(at+pieces, len(stream))])
		}
		if begin != string(long[:textKept]) || len(end) < endKept || len(end) > 2*endKept || !strings.HasSuffix(string(long), end) {
			t.Errorf("in pieces of %d: %d bytes of the beginning, %d of the end", pieces, len(begin), len(end))
		}
	}
}

// What is no frame is left alone, and nothing is put into it.
func TestNoFrames(t *testing.T) {
	for name, stream := range map[string][]byte{
		"reserved bits":        {0xc1, 1, 'x'},
		"an unknown opcode":    {0x83, 0},
		"a continuation":       wire(opContinue, true, false, []byte("x")),
		"text within a text":   append(wire(opText, false, false, []byte("x")), wire(opText, true, false, []byte("x"))...),
		"a close in fragments": wire(opClose, false, false, nil),
		"a long ping":          wire(opPing, true, false, make([]byte, 126)),
		"a length below zero":  {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
	} {
		f, texts := heard(append(stream, wire(opText, true, false, []byte("later"))...), func(int) int { return 1 })
		if f.Between() || len(texts) > 0 || f.Closed() != 0 {
			t.Errorf("%s: %q, between %v", name, texts, f.Between())
		}
	}
	f, _ := heard(wire(opClose, true, true, nil), func(int) int { return 1 })
	if f.Closed() != noCode {
		t.Errorf("a close without a code: %d", f.Closed())
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(wire(opText, true, true, []byte("hello")), 2)
	f.Add(append(wire(opText, false, false, []byte("a")), wire(opContinue, true, false, []byte("b"))...), 1)
	f.Add(CloseFrame(1000, "", true), 1)
	f.Fuzz(func(t *testing.T, stream []byte, pieces int) {
		whole, texts := heard(stream, func(n int) int { return n })
		parts, same := heard(stream, func(int) int { return pieces%1000 + 1 })
		if !slices.Equal(texts, same) || whole.Messages() != parts.Messages() || whole.Closed() != parts.Closed() || whole.Between() != parts.Between() {
			t.Errorf("whole %d %.50q, in parts %d %.50q", whole.Messages(), texts, parts.Messages(), same)
		}
	})
}

// What another implementation writes, fragments and masks of its own among it, is read as it was meant.
func TestFramesOfAnother(t *testing.T) {
	texts := make(chan string, 20)
	in := &Frames{See: func(begin, end []byte) { texts <- string(begin) + string(end) }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		c.SetReadLimit(1 << 20)
		for {
			if _, _, err := c.Read(r.Context()); err != nil {
				return
			}
		}
	}))
	server.Listener = spying{server.Listener, in}
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"hello", strings.Repeat("fragment ", 2000), "", "bye"}
	for i, text := range want {
		w, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitAfterSeq(text, " ") {
			fmt.Fprint(w, part)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-texts; got != text {
			t.Errorf("text %d is %.40q", i, got)
		}
	}
	_ = c.Close(4002, "done")
	if in.Closed() != 4002 || in.Messages() != 4 {
		t.Errorf("closed %d after %d messages", in.Closed(), in.Messages())
	}
}

// spying shows what comes over the connections, behind the request that asks for the upgrade.
type spying struct {
	net.Listener
	in *Frames
}

func (l spying) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &afterHead{Conn: c, in: l.in}, nil
}

type afterHead struct {
	net.Conn
	in   *Frames
	seen []byte
	past bool
}

func (c *afterHead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.past {
		_, _ = c.in.Write(p[:n])
		return n, err
	}
	c.seen = append(c.seen, p[:n]...)
	if _, rest, found := bytes.Cut(c.seen, []byte("\r\n\r\n")); found {
		c.past = true
		_, _ = c.in.Write(rest)
	}
	return n, err
}

// Reading beside the bytes costs little, whether the text is kept or not.
func BenchmarkFrames(b *testing.B) {
	for name, see := range map[string]func(begin, end []byte){"counted": nil, "seen": func([]byte, []byte) {}} {
		b.Run(name, func(b *testing.B) {
			stream := wire(opText, true, false, bytes.Repeat([]byte("x"), 16<<10))
			f := &Frames{See: see}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.Write(stream)
			}
		})
	}
}

// A long reason is cut between two letters: clients take half of one for a failure.
func TestLongReason(t *testing.T) {
	for n := range 4 {
		frame := CloseFrame(1008, strings.Repeat("x", n)+strings.Repeat("模", 100), false)
		if reason := frame[4:]; !utf8.Valid(reason) || len(reason) < mostControl-2-3 || int(frame[1]) != len(frame)-2 {
			t.Errorf("%d bytes: %q", len(reason), reason)
		}
	}
}
