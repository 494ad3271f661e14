package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// program is the command that is released.
const program = "openai-api-proxy"

// beside are the files that go with it, as patterns below the root.
var beside = []string{"LICENSE", "README.md", "README.zh-CN.md", ".env.example", "docs/*.md", "deploy/systemd/*.service",
	"deploy/nginx/*.conf", "deploy/caddy/Caddyfile"}

// file is one of an archive.
type file struct {
	name, path string // in the archive, and on this machine
	mode       fs.FileMode
}

// archive builds one platform's: a zip for Windows, a tar.gz for all others.
func (r release) archive(goos, arch string) (string, error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, program)
	if err := r.build(binary, goos, arch); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s_%s_%s_%s", program, r.version, goos, arch)
	ending, write := ".tar.gz", writeTar
	if goos == "windows" {
		ending, write = ".zip", writeZip
	}
	files, err := r.files(name, binary, goos)
	if err != nil {
		return "", err
	}
	to := filepath.Join(r.out, name+ending)
	f, err := os.Create(to)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := write(f, files, r.time); err != nil {
		return "", err
	}
	return to, f.Close()
}

// build compiles the program. What the environment says of Go's target and flags does not count.
func (r release) build(to, goos, arch string) error {
	p := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+r.version,
		"-o", to, "./cmd/"+program)
	p.Dir = r.source
	p.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOEXPERIMENT=", "GOWORK=off")
	p.Stderr = os.Stderr
	return p.Run()
}

// files are those of an archive, all in one folder.
func (r release) files(folder, binary, goos string) ([]file, error) {
	name := program
	if goos == "windows" {
		name += ".exe"
	}
	all := []file{{path.Join(folder, name), binary, 0o755}}
	for _, pattern := range beside {
		found, err := filepath.Glob(filepath.Join(r.source, pattern))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("no file is %s: %w", pattern, err)
		}
		slices.Sort(found)
		for _, f := range found {
			below, err := filepath.Rel(r.source, f)
			if err != nil {
				return nil, err
			}
			all = append(all, file{path.Join(folder, filepath.ToSlash(below)), f, 0o644})
		}
	}
	return all, nil
}

func writeTar(w io.Writer, files []file, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, f := range files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(content)), ModTime: at, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(content); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func writeZip(w io.Writer, files []file, at time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at.UTC()}
		h.SetMode(f.mode)
		entry, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := entry.Write(content); err != nil {
			return err
		}
	}
	return z.Close()
}
