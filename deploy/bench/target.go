package main

import (
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
	ready  time.Duration // from its launch until it served
	tokens []string      // of callers in turn; none: all have the token
	others []*target     // replicas beside it; callers are spread over all
}

// ours begins the names of the targets that are the proxy.
const ours = "openai-api-proxy"

// stage is what the targets share: an upstream and a Redis.
type stage struct {
	dir      string
	proxy    string // path of the proxy's binary
	self     string // of this one, which is the upstream and the bare proxy too
	upstream *target
	secure   *target // the upstream on TLS; nil until it is needed
	cert     string  // path of the certificate that it shows
	redis    *target
	begun    int // proxies that were started, each with keys of its own in Redis
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
	begin := time.Now()
	p, err := launch(s.dir, name, append(env, "LISTEN_ADDR="+addr), argv(addr)...)
	if err != nil {
		return nil, err
	}
	if err := await(addr, path); err != nil {
		p.stop()
		return nil, err
	}
	return &target{name: name, addr: addr, token: clientToken, process: p, ready: time.Since(begin)}, nil
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
	for _, t := range []*target{s.upstream, s.secure, s.redis} {
		if t != nil {
			t.stop()
		}
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

// strict is the same target for a client whose every request asks Redis.
func (t *target) strict() *target {
	return &target{name: t.name + ", strict", addr: t.addr, token: strictToken, process: t.process, others: t.others}
}

// addrs are where it is called.
func (t *target) addrs() []string {
	all := []string{t.addr}
	for _, o := range t.others {
		all = append(all, o.addr)
	}
	return all
}

// cpu is that of all replicas.
func (t *target) cpu() time.Duration {
	spent := t.process.cpu()
	for _, o := range t.others {
		spent += o.cpu()
	}
	return spent
}

// stop ends all replicas.
func (t *target) stop() {
	t.process.stop()
	for _, o := range t.others {
		o.stop()
	}
}
