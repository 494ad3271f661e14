package rollout

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
)

const domain = "openai.example.com" // what the shipped files say

// front is what stands before the replicas, as deploy/ ships it but for names, ports and certificates.
type front struct {
	name, url string
	leaving   func(replica int) // called before a replica is stopped; -1: all are there again. nil: it finds out by itself
}

// certificate makes one for loopback, and tells how to trust it.
func certificate(t *testing.T) (certFile, keyFile string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{domain}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(public)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")
	write(t, certFile, string(public))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return certFile, keyFile, trust
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shipped is a file of deploy/ with what an operator would put in; each text must be there.
func shipped(t *testing.T, path string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", path))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			t.Fatalf("deploy/%s has no %q", path, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

// run starts a program of the system until the end of the test, and waits until somebody listens.
func run(t *testing.T, port string, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	log := new(output)
	p := exec.Command(name, args...)
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		t.Fatalf("%s, which `make tools` installs: %v", name, err)
	}
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		p.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, log)
		}
	})
	if !until(10*time.Second, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		t.Fatalf("%s does not listen:\n%s", name, log)
	}
	return p
}

// startNginx serves deploy/nginx/openai-api-proxy.conf. It is told when a replica leaves, as the file says.
func startNginx(t *testing.T, certFile, keyFile string, replicas []*replica) *front {
	t.Helper()
	dir, port := t.TempDir(), redistest.FreePort(t)
	site := func(left int) {
		var servers []string
		for i, r := range replicas {
			line := "server " + r.addr + " max_fails=1 fail_timeout=2s"
			if i == left {
				line += " down"
			}
			servers = append(servers, line+";")
		}
		write(t, filepath.Join(dir, "site.conf"), shipped(t, "nginx/openai-api-proxy.conf",
			"server 127.0.0.1:10000 max_fails=1 fail_timeout=2s;", strings.Join(servers, "\n"),
			"listen 443 ssl", "listen 127.0.0.1:"+port+" ssl", "listen 80;", "listen 127.0.0.1:"+redistest.FreePort(t)+";",
			"/etc/letsencrypt/live/openai.example.com/fullchain.pem", certFile,
			"/etc/letsencrypt/live/openai.example.com/privkey.pem", keyFile))
	}
	site(-1)
	main := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	text := user + "daemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log stderr warn;\nevents { worker_connections 8192; }\nhttp {\n" +
		"access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	write(t, main, text+"include site.conf;\n}\n")
	if out, err := exec.Command("nginx", "-p", dir, "-c", main, "-t").CombinedOutput(); err != nil {
		t.Fatalf("nginx, which `make tools` installs: %v\n%s", err, out)
	}
	p := run(t, port, nil, "nginx", "-p", dir, "-c", main)
	return &front{"nginx", "https://127.0.0.1:" + port, func(left int) {
		site(left)
		p.Process.Signal(syscall.SIGHUP)
		time.Sleep(time.Second) // until new workers have taken over
	}}
}

// startCaddy serves deploy/caddy/Caddyfile. It finds out by itself who is about to leave.
func startCaddy(t *testing.T, certFile, keyFile string, replicas []*replica) *front {
	t.Helper()
	dir, port := t.TempDir(), redistest.FreePort(t)
	var addrs []string
	for _, r := range replicas {
		addrs = append(addrs, r.addr)
	}
	file := filepath.Join(dir, "Caddyfile")
	write(t, file, "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"+shipped(t, "caddy/Caddyfile",
		"\nopenai.example.com {\n", "\nhttps://127.0.0.1:"+port+" {\n\ttls "+certFile+" "+keyFile+"\n",
		"reverse_proxy 127.0.0.1:10000 {", "reverse_proxy "+strings.Join(addrs, " ")+" {"))
	run(t, port, []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, "caddy", "run", "--config", file, "--adapter", "caddyfile")
	return &front{name: "caddy", url: "https://127.0.0.1:" + port}
}
