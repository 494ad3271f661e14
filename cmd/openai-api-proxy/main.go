// Command openai-api-proxy is one base URL in front of many OpenAI keys.
//
//	openai-api-proxy [serve]            serve until a signal
//	openai-api-proxy check [--online]   load the configuration, print it redacted, or all its mistakes
//	openai-api-proxy healthcheck        ask the running proxy whether it is ready
//	openai-api-proxy version
//	openai-api-proxy keys, clients, stats, ...   talk to a running proxy; see pkg/cli
//	openai-api-proxy help [command]
//
// All settings of the proxy come from the environment and the file that CONFIG_FILE names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // images have no zones of their own, and clients may have

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/cli"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/state/redisstate"
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version = ""

const usage = `usage: openai-api-proxy [serve | check [--online] | healthcheck | version | COMMAND ...]

  serve              serve until a signal; this is what it does without a command
  check              load the configuration and print it, secrets masked, or all its mistakes; --online asks the upstream too
  healthcheck        ask the proxy on this machine whether it is ready
  version            print the version

Settings come from the environment and the file named by CONFIG_FILE; see README.md.

`

func main() {
	if len(os.Args) > 1 && cli.Knows(os.Args[1]) {
		os.Exit(command(os.Args[1:]))
	}
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	switch {
	case errors.Is(err, errUsage):
		os.Exit(cli.Misuse)
	case err != nil:
		os.Exit(cli.Failed)
	}
}

// command talks to a running proxy. The first signal ends it in good order, a second one at once.
func command(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Run(ctx, cli.FromOS(), args)
}

var errUsage = errors.New(usage + cli.Help())

func run(args []string, out, errs io.Writer) error {
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	if command == "help" || command == "-h" || command == "--help" {
		return help(out, args)
	}
	online := command == "check" && len(args) == 1 && args[0] == "--online"
	if len(args) > 0 && !online {
		return errUsage
	}
	switch command {
	case "serve":
		return serve(errs)
	case "check":
		return check(out, online)
	case "healthcheck":
		return healthcheck()
	case "version":
		fmt.Fprintln(out, stamp())
		return nil
	default:
		return errUsage
	}
}

// help is for a command, or for all of them.
func help(out io.Writer, words []string) error {
	if len(words) == 0 {
		fmt.Fprint(out, usage)
	} else if !cli.Knows(words[0]) {
		return errUsage
	}
	fmt.Fprint(out, cli.Help(words...))
	return nil
}

// serve runs until SIGINT or SIGTERM; a second signal ends the drain at once.
func serve(errs io.Writer) error {
	defer runtime.KeepAlive(spare())
	cfg, err := config.Load(config.FromOS())
	if err != nil {
		return err
	}
	log, access, flush := logger(errs, cfg)
	defer flush()
	redisstate.Quiet()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	load := func() (*config.Config, error) { return config.Load(config.FromOS()) }
	a, err := app.Start(ctx, cfg, app.Options{Version: stamp(), Load: load, Log: log, AccessLog: access})
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // reading a large configuration takes several times what is kept of it
	reloadUntil(ctx, a)
	stop() // the next signal ends the process
	if err := a.Stop(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// reloadUntil reads the configuration anew at each SIGHUP, until the context ends.
func reloadUntil(ctx context.Context, a *app.App) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			_ = a.Reload("SIGHUP") // the log tells of mistakes
		}
	}
}

// logger writes JSON lines, or text where a person reads along. Requests are logged through access where there is one.
// Call flush at the end.
func logger(w io.Writer, cfg *config.Config) (log *slog.Logger, access io.Writer, flush func()) {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if terminal(w) && cfg.LogFormat != "json" {
		return slog.New(slog.NewTextHandler(w, opts)), nil, func() {}
	}
	out := newOutput(w)
	if cfg.LogFormat == "text" {
		return slog.New(urgent{slog.NewTextHandler(out, opts), out}), nil, out.Flush
	}
	return slog.New(urgent{slog.NewJSONHandler(out, opts), out}), out, out.Flush
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func check(out io.Writer, online bool) error {
	cfg, err := config.Load(config.FromOS())
	if err != nil {
		return err
	}
	cfg.Print(out)
	if !online {
		return nil
	}
	fmt.Fprintln(out)
	if bad := app.Online(context.Background(), cfg, out); bad > 0 {
		return fmt.Errorf("%d keys are not accepted upstream", bad)
	}
	return nil
}

// healthcheck serves images without a shell: exit 0 when the proxy on this machine is ready.
func healthcheck() error {
	addr, err := config.ListenAddr(config.FromOS())
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{Proxy: nil}}
	resp, err := client.Get("http://" + net.JoinHostPort(host, port) + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// stamp is the version of this build: stamped, or that of the module, or of the commit.
func stamp() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
