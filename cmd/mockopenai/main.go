// Command mockopenai serves a mock upstream until SIGTERM or an interrupt. Package pkg/mockopenai says what it answers
// and how it is steered; README.md has examples.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

// stopTimeout is how long streams may run on after a stop signal.
const stopTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mockopenai:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and says on out where.
func run(ctx context.Context, args []string, out io.Writer) error {
	addr, mock, err := parse(args, out)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "mockopenai listens on http://%s\n", listener.Addr())
	server := &http.Server{Handler: mock, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return shutdown(server, mock)
	}
}

// parse makes the mock that the arguments ask for, and tells where it is to listen.
func parse(args []string, out io.Writer) (addr string, mock *mockopenai.Server, err error) {
	flags := flag.NewFlagSet("mockopenai", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&addr, "addr", "127.0.0.1:9100", "where to listen; 0.0.0.0:9100 in a container")
	prefix := flags.String("key-prefix", "sk-", "keys that do not begin so are answered 401")
	set := mockopenai.DefaultSettings()
	flags.Float64Var(&set.LatencyMS, "latency-ms", set.LatencyMS, "delay before the headers of an answer")
	flags.Float64Var(&set.JitterMS, "jitter-ms", set.JitterMS, "up to this much is added to it")
	flags.IntVar(&set.Chunks, "chunks", set.Chunks, "pieces of text in a stream")
	flags.Float64Var(&set.ChunkDelayMS, "chunk-delay-ms", set.ChunkDelayMS, "delay before each of them")
	flags.Float64Var(&set.ChunkJitterMS, "chunk-jitter-ms", set.ChunkJitterMS, "up to this much is added to it")
	flags.IntVar(&set.ContentBytes, "content-bytes", set.ContentBytes, "length of the text of other answers")
	flags.IntVar(&set.Requests, "requests", set.Requests, "requests remembered for /_requests; 0 in benchmarks")
	flags.Int64Var(&set.RPM, "rpm", set.RPM, "requests per minute of each account and model; 0: no limit")
	flags.Int64Var(&set.TPM, "tpm", set.TPM, "tokens per minute of each account and model; 0: no limit")
	flags.BoolVar(&set.SetCookie, "set-cookie", set.SetCookie, "answers carry a Set-Cookie")
	if err := flags.Parse(args); err != nil {
		return "", nil, err
	}
	if flags.NArg() > 0 {
		return "", nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return addr, mockopenai.New(mockopenai.WithKeyPrefix(*prefix), mockopenai.WithSettings(set)), nil
}

// shutdown takes no more requests, and lets those run on that are being answered at full speed: what hangs or pauses is
// cut at once.
func shutdown(server *http.Server, mock *mockopenai.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	mock.Close()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}
