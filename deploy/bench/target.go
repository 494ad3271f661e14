package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// target is something that is measured.
type target struct {
	name  string // as the tables have it
	addr  string
	token string
	*process
	prepared time.Duration // of the time to make it, what was spent before it was started
}

// ours begins the names of the targets that are the proxy.
const ours = "openai-api-proxy"

// stage is what the targets share: an upstream and a Redis.
type stage struct {
	dir      string
	proxy    string // path of the proxy's binary
	self     string // of this one, which is the upstream and the bare proxy too
	upstream *target
	redis    *target
}

const (
	clientToken = "sk-test-client-0000000000000001"
	strictToken = "sk-test-client-0000000000000002"
	adminToken  = "sk-test-admin-00000000000000001"
)

// start launches a target that serves at a free address.
func (s *stage) start(name, path string, env []string, argv func(addr string) []string) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := launch(s.dir, name, append(env, "LISTEN_ADDR="+addr), argv(addr)...)
	if err != nil {
		return nil, err
	}
	if err := await(addr, path); err != nil {
		p.stop()
		return nil, err
	}
	return &target{name: name, addr: addr, token: clientToken, process: p}, nil
}

// open begins the stage.
func open(dir, proxy string) (s *stage, err error) {
	s = &stage{dir: dir, proxy: proxy}
	if s.self, err = os.Executable(); err != nil {
		return nil, err
	}
	s.upstream, err = s.start("upstream", "", nil, func(addr string) []string { return []string{s.self, "upstream", addr} })
	if err != nil {
		return nil, err
	}
	s.upstream.token = "sk-test-up-0"
	s.redis, err = s.start("redis", "", nil, func(addr string) []string {
		_, port, _ := net.SplitHostPort(addr)
		return []string{"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}
	})
	return s, err
}

func (s *stage) close() {
	s.upstream.stop()
	if s.redis != nil {
		s.redis.stop()
	}
}

// bare is a plain ReverseProxy.
func (s *stage) bare() (*target, error) {
	return s.start("ReverseProxy", "", nil, func(addr string) []string {
		return []string{s.self, "forward", addr, "http://" + s.upstream.addr}
	})
}

// nginx is nginx with the same ten keys and a token check; nil where there is none.
func (s *stage) nginx() (*target, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, nil
	}
	file := filepath.Join(s.dir, "nginx.conf")
	return s.start("nginx", "", nil, func(addr string) []string {
		_ = os.WriteFile(file, fmt.Appendf(nil, nginxConf, s.dir, addr, s.upstream.addr, clientToken), 0o600)
		return []string{program, "-p", s.dir, "-c", file, "-e", filepath.Join(s.dir, "nginx-error.log"), "-g", "daemon off;"}
	})
}

const nginxConf = `worker_processes 2;
pid %[1]s/nginx.pid;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  client_max_body_size 100m;
  keepalive_requests 100000000;
  upstream up { server %[3]s; keepalive 2048; keepalive_requests 100000000; }
  split_clients "$request_id" $key { 10%% 0; 10%% 1; 10%% 2; 10%% 3; 10%% 4; 10%% 5; 10%% 6; 10%% 7; 10%% 8; * 9; }
  server {
    listen %[2]s;
    location / {
      if ($http_authorization != "Bearer %[4]s") { return 401; }
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer sk-test-up-$key";
      proxy_buffering off; proxy_request_buffering off;
    }
  }
}
`

// key and client are entries of the configuration file.
type key struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

type client struct {
	ID     string           `json:"id"`
	Token  string           `json:"token"`
	RPM    int64            `json:"rpm,omitempty"`
	Burst  int64            `json:"burst,omitempty"`
	TPM    int64            `json:"tpm,omitempty"`
	Slots  int64            `json:"concurrency,omitempty"`
	Quota  []map[string]any `json:"quota,omitempty"`
	OnLoss string           `json:"onStateLoss,omitempty"`
}

// ours is the proxy with everything on: so many keys, clients with limits and quotas, Redis, metrics, the access log to a
// file. The second client has a limit of concurrency, for which every request asks Redis.
func (s *stage) ours(keys, clients int) (*target, error) {
	begin := time.Now()
	var file struct {
		Keys    []key    `json:"keys"`
		Clients []client `json:"clients"`
	}
	for i := range keys {
		file.Keys = append(file.Keys, key{fmt.Sprintf("k%d", i), fmt.Sprintf("sk-test-up-%d", i)})
	}
	limited := client{ID: "c0", Token: clientToken, RPM: 10_000_000, Burst: 1_000_000, TPM: 1_000_000_000, OnLoss: "allow",
		Quota: []map[string]any{{"tokens": int64(1e15), "period": "month"}}}
	file.Clients = append(file.Clients, limited)
	limited.ID, limited.Token, limited.Slots = "c1", strictToken, 10_000
	file.Clients = append(file.Clients, limited)
	for i := 2; i < clients; i++ {
		file.Clients = append(file.Clients, client{ID: fmt.Sprintf("c%d", i), Token: fmt.Sprintf("sk-test-client-%016d", 1000+i), RPM: 60, Burst: 60})
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, fmt.Sprintf("config-%d-%d.json", keys, clients))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	env := []string{"CONFIG_FILE=" + path, "OPENAI_BASE_URL=http://" + s.upstream.addr, "REDIS_URL=redis://" + s.redis.addr,
		fmt.Sprintf("REDIS_PREFIX=bench-%d-%d", keys, clients), "ADMIN_TOKEN=" + adminToken, "DATA_DIR=", "LOG_FORMAT=json",
		"OPENAI_API_KEY=", "OPENAI_API_KEYS=", "CLIENT_TOKENS="}
	prepared := time.Since(begin)
	t, err := s.start(ours, "/readyz", env, func(string) []string { return []string{s.proxy} })
	if err == nil {
		t.prepared = prepared
	}
	return t, err
}

// strict is the same target for a client whose every request asks Redis.
func (t *target) strict() *target {
	return &target{name: t.name + ", strict", addr: t.addr, token: strictToken, process: t.process}
}
