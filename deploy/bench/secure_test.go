package main

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestMain makes the certificate that the targets trust: a process reads such files once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	certPath, keyPath = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := certificate(certPath, keyPath); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", certPath)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var certPath, keyPath string

// The bare proxy trusts the certificate of the upstream, and speaks what it is told to.
func TestSpoken(t *testing.T) {
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewUnstartedServer(http.HandlerFunc(answerCall))
	up.EnableHTTP2, up.TLS = true, &tls.Config{Certificates: []tls.Certificate{pair}}
	up.StartTLS()
	defer up.Close()
	for want, only1 := range map[string]bool{"HTTP/2.0": false, "HTTP/1.1": true} {
		handler, err := forward("https://"+up.Listener.Addr().String(), only1)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(handler)
		if got, err := spoken(&target{addr: s.Listener.Addr().String(), token: clientToken}); got != want || err != nil {
			t.Errorf("kept to HTTP/1.1 %v: it speaks %q, not %q: %v", only1, got, want, err)
		}
		s.Close()
	}
	plain := httptest.NewServer(http.HandlerFunc(answerCall))
	defer plain.Close()
	if got, err := spoken(&target{addr: plain.Listener.Addr().String(), token: clientToken}); err == nil {
		t.Errorf("without TLS it speaks %q", got)
	}
}
