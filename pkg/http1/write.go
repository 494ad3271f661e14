package http1

import (
	"bufio"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

var errLength = errors.New("http1: the body is not as long as was said")

// write writes a request as Request.Write does, but for the order of its headers, and without sorting, copying and guessing: the
// body is in memory, and its length known. What is not plain is left to Request.Write.
func write(w *bufio.Writer, req *http.Request) error {
	host, target := req.Host, req.URL.RequestURI()
	if host == "" {
		host = req.URL.Host
	}
	if !plain(req, host, target) {
		return req.Write(w)
	}
	_, _ = w.WriteString(req.Method) // an error stays in the writer, and is that of the last call
	_, _ = w.WriteString(" ")
	_, _ = w.WriteString(target)
	_, _ = w.WriteString(" HTTP/1.1\r\n")
	line(w, "Host", host)
	for name, values := range req.Header {
		if omitted(name) {
			continue
		}
		for _, value := range values {
			line(w, name, value)
		}
	}
	if agent := req.Header.Get("User-Agent"); agent != "" {
		line(w, "User-Agent", agent)
	}
	if req.ContentLength > 0 || saysNothing(req.Method) {
		_, _ = w.WriteString("Content-Length: ")
		_, _ = w.Write(strconv.AppendInt(w.AvailableBuffer(), req.ContentLength, 10))
		_, _ = w.WriteString("\r\n")
	}
	_, err := w.WriteString("\r\n")
	if err != nil || req.Body == nil {
		return err
	}
	if n, err := w.ReadFrom(req.Body); err != nil || n == req.ContentLength {
		return err
	}
	return errLength
}

func line(w *bufio.Writer, name, value string) {
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(strings.Trim(value, " \t"))
	_, _ = w.WriteString("\r\n")
}

// saysNothing reports whether a request without a body says so: with some methods many a server wants to know (RFC 9110, 8.6).
func saysNothing(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// omitted reports whether a header is said apart, or says what is not so here.
func omitted(name string) bool {
	switch name {
	case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return false
}

// plain reports whether nothing of a request can be misread, or needs to be written in another way than as it is here.
func plain(req *http.Request, host, target string) bool {
	if req.Method == http.MethodConnect || !httpguts.ValidHeaderFieldName(req.Method) || (req.Body == nil) != (req.ContentLength == 0) ||
		req.ContentLength < 0 || len(req.TransferEncoding) > 0 || len(req.Trailer) > 0 || req.Close || req.Header["User-Agent"] == nil {
		return false
	}
	if !isHost(host) || target[0] != '/' || !visible(target) {
		return false
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

// isHost reports whether a name is no other when it is written in a header: no zone, nothing to be encoded.
func isHost(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.Contains("-.:[]", name[i:i+1]) {
			return false
		}
	}
	return name != ""
}

// visible reports whether a text has only visible ASCII characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
