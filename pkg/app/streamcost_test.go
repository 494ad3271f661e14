package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
)

// heldUpstream answers every request with the beginning of a stream, and leaves it open.
func heldUpstream(tb testing.TB) string {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	const event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
	begun := fmt.Appendf(nil, "%s%x\r\n%s\r\n", head, len(event), event)
	return listenUpstream(tb, func(c net.Conn) {
		r := bufio.NewReader(c)
		for readRequest(r) {
			if _, err := c.Write(begun); err != nil {
				return
			}
		}
	})
}

// mostForStream is the memory of an open stream in bytes, with that of an upstream's connection in this process: its stacks,
// which are those of four goroutines of the proxy and one of the upstream, and what is held in the heap.
const mostForStream, mostOfStacks = 52 << 10, 18 << 10

// TestStreamHolds fails when an open stream holds more memory than it did. A stack has the size of the deepest that was ever
// called on it, rounded up to a power of two, so that one large value in a function of the request path may cost 8 KiB.
func TestStreamHolds(t *testing.T) {
	withoutRace(t)
	const streams = 400
	a := startCosted(t, heldUpstream(t), redistest.Start(t).URL())
	open := func(n int) {
		for range n {
			c := newCaller(t, a.Addr())
			c.request = bytes.Replace(c.request, []byte(`"temperature":0.7`), []byte(`"stream":true    `), 1)
			c.begin(t)
		}
	}
	memory := func() (stacks, heap uint64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		stacks = m.StackInuse
		runtime.GC()
		runtime.ReadMemStats(&m)
		return stacks, m.HeapAlloc
	}
	open(20)
	stacksBefore, heapBefore := memory()
	open(streams)
	time.Sleep(100 * time.Millisecond) // for goroutines that made a connection
	stacks, heap := memory()
	of := func(before, now uint64) int { return (int(now) - int(before)) / streams }
	each, all := of(stacksBefore, stacks), of(stacksBefore+heapBefore, stacks+heap)
	if each > mostOfStacks || all > mostForStream {
		t.Errorf("a stream holds %d bytes, of which %d are stacks; it was at most %d, and %d", all, each, mostForStream, mostOfStacks)
	} else {
		t.Logf("a stream holds %d bytes, of which %d are stacks", all, each)
	}
}
