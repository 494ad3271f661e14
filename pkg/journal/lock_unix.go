//go:build unix

package journal

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the directory for this process, until the file that it returns is closed or the process ends, however it does.
// errTaken means that another one has it.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errTaken
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
