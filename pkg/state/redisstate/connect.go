package redisstate

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// hotTimeout bounds everything that a request waits for.
	hotTimeout = 200 * time.Millisecond
	// slowTimeout bounds what nobody waits for.
	slowTimeout = 3 * time.Second
)

// budgets are how long a call may take.
type budgets struct {
	hot  time.Duration // that a request waits for
	slow time.Duration // that nobody waits for
}

// connect makes the two clients: hot for what requests wait for, slow for everything else.
//
// hot never retries: the library would repeat a script after a read that timed out, which may have run. It honours
// deadlines of contexts, which the library ignores on the socket unless told to.
func connect(rawURL string, b budgets) (hot, slow redis.UniversalClient, err error) {
	opts, err := parseURL(rawURL)
	if err != nil {
		return nil, nil, err
	}
	fast := *opts
	fast.MaxRetries = -1
	fast.MaxRedirects = 3
	fast.DialTimeout = b.hot
	fast.DialerRetries = 1
	fast.ReadTimeout, fast.WriteTimeout, fast.PoolTimeout = b.hot, b.hot, b.hot
	fast.ContextTimeoutEnabled = true
	fast.MinIdleConns = 4
	fast.PoolSize = 64
	// What is said here is short, and the library's buffers of 32 KiB each way would be 4 MiB for as many connections.
	fast.ReadBufferSize, fast.WriteBufferSize = 4<<10, 4<<10
	calm := *opts
	calm.MaxRetries = -1
	calm.DialTimeout, calm.ReadTimeout, calm.WriteTimeout, calm.PoolTimeout = b.slow, b.slow, b.slow, b.slow
	calm.DialerRetries = 1
	calm.ContextTimeoutEnabled = true
	calm.PoolSize = 8
	return redis.NewUniversalClient(&fast), redis.NewUniversalClient(&calm), nil
}

// parseURL understands redis:// and rediss:// with, in the query, addr=host:port for each further node, master_name=name
// for Sentinel, or cluster=true.
func parseURL(raw string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL is not a URL") // the cause would repeat the password
	}
	q := u.Query()
	more, master := q["addr"], q.Get("master_name")
	cluster, err := strconv.ParseBool(q.Get("cluster"))
	if err != nil && q.Get("cluster") != "" {
		return nil, fmt.Errorf("REDIS_URL: cluster must be true or false")
	}
	if cluster && master != "" {
		return nil, fmt.Errorf("REDIS_URL: cluster and master_name exclude one another")
	}
	if len(more) > 0 && !cluster && master == "" {
		return nil, fmt.Errorf("REDIS_URL: several addresses need master_name=... (Sentinel) or cluster=true")
	}
	for _, name := range []string{"addr", "master_name", "cluster"} {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	one, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: scheme must be redis or rediss, the path a database number, the query a known option")
	}
	return &redis.UniversalOptions{Addrs: append([]string{one.Addr}, more...), MasterName: master, IsClusterMode: cluster,
		Username: one.Username, Password: one.Password, DB: one.DB, TLSConfig: one.TLSConfig}, nil
}

// Check reports what is wrong with a Redis URL, without connecting.
func Check(rawURL string) error {
	_, err := parseURL(rawURL)
	return err
}

// within bounds a call that nobody else bounds.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// Quiet keeps the Redis library from writing a line of its own for every failed dial: outages are told by this package,
// once. It is for the whole process, and so up to main.
func Quiet() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
