package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// copied are the sources in another place, with other times.
func copied(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "elsewhere")
	dirs := []string{"cmd", "docs", "deploy/systemd", "deploy/nginx", "deploy/caddy"}
	packages, _ := os.ReadDir(filepath.Join(root, "pkg"))
	for _, p := range packages {
		if p.IsDir() && p.Name() != "conformance" { // a module of its own, with all that npm installs
			dirs = append(dirs, filepath.Join("pkg", p.Name()))
		}
	}
	for _, dir := range dirs {
		if err := os.CopyFS(filepath.Join(to, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "LICENSE", "README.md", "README.zh-CN.md", ".env.example"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// Two builds of the same sources are the same to the last byte, though the second is made in another folder and environment;
// `make reproduce` also forgets what the first has compiled, which takes a minute or two.
func TestReproducible(t *testing.T) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	a := release{root, t.TempDir(), "v0.0.0-test", time.Unix(1_800_000_000, 0)}
	if err := a.make([]string{platform}); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("RELEASE") == "full" {
		t.Setenv("GOCACHE", t.TempDir())
	}
	t.Setenv("GOFLAGS", "-tags=other")
	b := release{copied(t), t.TempDir(), a.version, a.time}
	if err := b.make([]string{platform}); err != nil {
		t.Fatal(err)
	}
	first, second := sums(t, a.out), sums(t, b.out)
	if first != second {
		t.Errorf("two builds differ:\n%s\n%s", first, second)
	}
	checkSums(t, a.out, first)
	checkArchive(t, a, strings.ReplaceAll(platform, "/", "_"))
	checkGuide(t, a, strings.ReplaceAll(platform, "/", "_"))
}

func sums(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checkSums(t *testing.T, dir, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != sum {
			t.Errorf("%s has %s, SHA256SUMS says %s", name, got, sum)
		}
	}
}

// checkArchive looks whether what a user needs lies beside the program.
func checkArchive(t *testing.T, r release, platform string) {
	t.Helper()
	name := program + "_" + r.version + "_" + platform
	packed, err := os.ReadFile(filepath.Join(r.out, name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, packed)
	for _, want := range []string{program, "README.md", "LICENSE", "docs/deploy.md", "deploy/systemd/openai-api-proxy.service"} {
		if len(files[name+"/"+want]) == 0 {
			t.Errorf("there is no %s", want)
		}
	}
}

var unpack = regexp.MustCompile("(?s)<!-- example: unpack -->\n```bash\n(.*?)```")

// checkGuide does with the archive what the deployment guide says: the sums are right, and the program tells its version.
func checkGuide(t *testing.T, r release, platform string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := unpack.FindSubmatch(text)
	if m == nil || !strings.Contains(string(m[1]), "linux_amd64") {
		t.Fatal("the guide does not say how to unpack an archive")
	}
	p := exec.Command("bash", "-euc", strings.ReplaceAll(string(m[1]), "linux_amd64", platform))
	p.Dir = r.out
	if out, err := p.CombinedOutput(); err != nil || !strings.Contains(string(out), ".tar.gz: OK\n") || !strings.HasSuffix(string(out), r.version+"\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func untar(t *testing.T, packed []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// The archive for Windows is one that its reader understands, the same each time.
func TestZip(t *testing.T) {
	r := release{source: root}
	files, err := r.files("folder", filepath.Join(root, "LICENSE"), "windows")
	if err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	at := time.Unix(1_800_000_000, 0)
	if err := writeZip(&one, files, at); err != nil {
		t.Fatal(err)
	}
	if err := writeZip(&two, files, at); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the same files make two archives")
	}
	z, err := zip.NewReader(bytes.NewReader(one.Bytes()), int64(one.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(z.File, func(f *zip.File) bool { return f.Name == "folder/openai-api-proxy.exe" && f.Mode().Perm() == 0o755 }) {
		t.Error("there is no program in it")
	}
}

// A numbered version has to be in both change logs.
func TestUndescribed(t *testing.T) {
	if err := (release{source: root, version: "v987.0.0"}).described(); err == nil || !strings.Contains(err.Error(), "CHANGELOG") {
		t.Errorf("v987.0.0: %v", err)
	}
	if err := (release{source: root, version: "v1.0.0"}).described(); err != nil {
		t.Error(err)
	}
}
