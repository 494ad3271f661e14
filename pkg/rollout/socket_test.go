package rollout

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	greeting = `{"type":"session.created"}`
	message  = `{"type":"response.create"}`
)

// upgrade makes a WebSocket of the connection, says something, and says again what it hears.
func upgrade(w http.ResponseWriter, r *http.Request) {
	conn, both, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(both, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		base64.StdEncoding.EncodeToString(sum[:]), frame(0x81, greeting, false))
	both.Flush()
	for {
		code, text, err := readFrame(both)
		if err != nil {
			return
		}
		both.WriteString(frame(code, text, false))
		both.Flush()
		if code == 0x88 { // a close is answered by one
			return
		}
	}
}

// frame is a whole one, of at most 125 bytes; the mask of what callers send is zero, as it may be.
func frame(code byte, text string, masked bool) string {
	if masked {
		return string([]byte{code, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
	}
	return string([]byte{code, byte(len(text))}) + text
}

func readFrame(r io.Reader) (code byte, text string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, "", err
		}
	}
	payload := make([]byte, head[1]&0x7f)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0], string(payload), err
}

// talks opens a WebSocket through the front and lets a message pass each way, and a close.
func (c *crowd) talks(t *testing.T, f *front, trust *x509.CertPool) {
	t.Helper()
	c.sent.Add(1)
	host := strings.TrimPrefix(f.url, "https://")
	conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: trust})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host, clientToken)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %v, %v", f.name, resp, err)
	}
	hear := func(want string) {
		t.Helper()
		if _, text, err := readFrame(in); err != nil || text != want {
			t.Fatalf("%s: %q, %v, want %q", f.name, text, err, want)
		}
	}
	hear(greeting)
	io.WriteString(conn, frame(0x81, message, true))
	hear(message)
	io.WriteString(conn, frame(0x88, "\x03\xe8", true))
	hear("\x03\xe8")
}
