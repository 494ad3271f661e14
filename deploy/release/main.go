// Command release builds the archives of a release: the proxy for each platform with the files its operator needs, and their
// checksums. `make release` runs it.
//
// The same sources, version, time and Go make the same bytes, whoever builds them and wherever: no path, name, owner, clock
// or version-control stamp of the machine gets in.
package main

import (
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// platforms are those a release has.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

func main() {
	r := release{}
	var only string
	var seconds int64
	flag.StringVar(&r.source, "source", ".", "root of the sources")
	flag.StringVar(&r.out, "out", "dist", "where the archives go")
	flag.StringVar(&r.version, "version", "", "what `openai-api-proxy version` will say")
	flag.Int64Var(&seconds, "time", 0, "time of every file in the archives, in seconds since 1970: that of the commit")
	flag.StringVar(&only, "platforms", platforms, "which ones, as os/arch")
	flag.Parse()
	r.time = time.Unix(seconds, 0).UTC()
	if err := r.make(strings.Split(only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// release is one version.
type release struct {
	source, out, version string
	time                 time.Time
}

// make builds the archives, and SHA256SUMS over all of them.
func (r release) make(platforms []string) error {
	if err := r.described(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var sums []string
	for _, platform := range platforms {
		goos, arch, _ := strings.Cut(platform, "/")
		path, err := r.archive(goos, arch)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sums = append(sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(content), filepath.Base(path)))
		fmt.Printf("%s  %.1f MB\n", path, float64(len(content))/1e6)
	}
	slices.SortFunc(sums, func(a, b string) int { return cmp.Compare(a[64:], b[64:]) })
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(strings.Join(sums, "")), 0o644)
}

var numbered = regexp.MustCompile(`^v\d+\.\d+\.\d+$`)

// described refuses a numbered version that a change log does not tell of.
func (r release) described() error {
	if r.version == "" {
		return fmt.Errorf("no version")
	}
	if !numbered.MatchString(r.version) {
		return nil // a build in between
	}
	for _, file := range []string{"docs/CHANGELOG.md", "docs/CHANGELOG.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join(r.source, file))
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "\n## "+r.version+"\n") {
			return fmt.Errorf("%s says nothing of %s", file, r.version)
		}
	}
	return nil
}
