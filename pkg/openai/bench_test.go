package openai

import (
	"strings"
	"testing"
)

func BenchmarkReadLongHead(b *testing.B) {
	body := []byte(`{"model":"gpt-4o-mini","stream":false,"messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"` + strings.Repeat(" The quick brown fox jumps over the lazy dog.", 220_000) + `"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !ReadHead(body).Readable {
			b.Fatal("not readable")
		}
	}
}
