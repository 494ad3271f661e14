package edge

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
)

// Two lengths in one request, Content-Length and Transfer-Encoding, are how requests are smuggled past a proxy. The
// standard library takes the second and forgets the first before a handler could refuse it, so the head of each request
// is kept as it comes from the connection until the handler has looked.
//
// A head that arrives in the same packet as the end of the request before it (pipelining) is not seen. It does no harm:
// what goes upstream is framed anew.

// headMost bounds what is kept of a head.
const headMost = 16 << 10

// twoLengths is asked only for chunked requests, which are few.
func twoLengths(r *http.Request) bool {
	c := connOf(r)
	return c != nil && len(r.TransferEncoding) > 0 && c.twoLengths()
}

// twoLengths reports whether the head names both ways to frame a body.
func (c *conn) twoLengths() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := bytes.TrimLeft(c.head, "\r\n") // empty lines before a request are nothing (RFC 9112, 2.2)
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	if _, err := r.ReadLine(); err != nil {
		return false
	}
	h, _ := r.ReadMIMEHeader()
	return len(h["Content-Length"]) > 0 && len(h["Transfer-Encoding"]) > 0
}
