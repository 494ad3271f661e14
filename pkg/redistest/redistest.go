// Package redistest starts real redis-server processes for tests: on free loopback ports, so that they can be frozen,
// slowed, emptied, killed and started again. Nothing of it is part of the proxy.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a redis-server process.
type Server struct {
	t        testing.TB
	port     string
	options  []string
	sentinel string // configuration file of a Sentinel; empty: a server
	process  *exec.Cmd
}

// Start runs a redis-server without persistence until the end of the test. Options are those of its command line.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return StartOn(t, FreePort(t), options...)
}

// StartOn is Start on a port.
func StartOn(t testing.TB, port string, options ...string) *Server {
	t.Helper()
	s := &Server{t: t, port: port, options: options}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// StartSentinel runs a Sentinel that watches the primary, of three that must agree by two.
func StartSentinel(t testing.TB, name, primary string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 500\n"+
		"sentinel failover-timeout %[1]s 3000\n", name, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, port: FreePort(t), sentinel: file}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// FreeClusterPort is a free port whose bus port, 10000 above it, is free too.
func FreeClusterPort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := FreePort(t)
		n, _ := strconv.Atoi(port)
		if n > 55000 {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n+10000))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free pair of ports")
	return ""
}

// FreePort is a port on which nobody listens.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Addr is host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + s.port }

// URL is what REDIS_URL would be.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// readyWithin is for a machine that is busy, and a file that has to be read first.
const readyWithin = time.Minute

// Run starts the process, again after Kill, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	args := []string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.t.TempDir(), "--daemonize", "no"}
	if s.sentinel != "" {
		args = append([]string{s.sentinel}, append(args, "--sentinel")...)
	} else {
		args = append(append(args, "--save", "", "--appendonly", "no"), s.options...)
	}
	s.process = exec.Command("redis-server", args...)
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("redis-server, which `make test` installs: %v", err)
	}
	for end := time.Now().Add(readyWithin); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s.Do("PING") == nil {
			return
		}
	}
	s.t.Fatal("redis-server does not answer")
}

// Kill ends the process at once. A second call does nothing.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Signal(syscall.SIGCONT)
	s.process.Process.Kill()
	s.process.Wait()
	s.process = nil
}

// Freeze stops the process: its connections stay open and nothing answers. Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Do runs one command.
func (s *Server) Do(command ...string) error {
	_, err := s.ask(command...)
	return err
}

func (s *Server) ask(command ...string) (any, error) {
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DialTimeout: time.Second})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	args := make([]any, len(command))
	for i, a := range command {
		args[i] = a
	}
	return c.Do(ctx, args...).Result()
}

// InfoHas reports whether a section of INFO has a line with the text.
func (s *Server) InfoHas(section, text string) bool {
	info, err := s.ask("INFO", section)
	return err == nil && strings.Contains(fmt.Sprint(info), text)
}

// ClusterReady reports whether a node of a Cluster finds all slots served.
func (s *Server) ClusterReady() bool {
	info, err := s.ask("CLUSTER", "INFO")
	return err == nil && strings.Contains(fmt.Sprint(info), "cluster_state:ok")
}

// Requests is how many round trips clients have made so far: reads from their sockets in which a command came.
func (s *Server) Requests() int64 {
	s.t.Helper()
	text, err := s.ask("INFO", "commandstats")
	if err != nil {
		s.t.Fatal(err)
	}
	var all int64
	for line := range strings.SplitSeq(fmt.Sprint(text), "\r\n") {
		name, rest, found := strings.Cut(line, ":calls=")
		if !found || !roundTrip[strings.TrimPrefix(name, "cmdstat_")] {
			continue
		}
		count, _, _ := strings.Cut(rest, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		all += n
	}
	return all
}

// roundTrip are the commands that a client waits for; EXPIRE comes with the INCRBY before it, and what scripts call is
// counted with the script.
var roundTrip = map[string]bool{"evalsha": true, "eval": true, "incrby": true, "set": true, "ping": true}

// Keys lists the keys of a pattern.
func (s *Server) Keys(pattern string) (keys []string) {
	s.t.Helper()
	found, err := s.ask("KEYS", pattern)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range found.([]any) {
		keys = append(keys, fmt.Sprint(k))
	}
	return keys
}

// Get reads a string.
func (s *Server) Get(key string) (string, error) {
	v, err := s.ask("GET", key)
	return fmt.Sprint(v), err
}

// Field reads a field of a hash.
func (s *Server) Field(key, field string) (string, error) {
	v, err := s.ask("HGET", key, field)
	return fmt.Sprint(v), err
}
