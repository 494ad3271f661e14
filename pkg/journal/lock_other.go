//go:build !unix

package journal

import (
	"errors"
	"os"
)

// lock fails: without it two processes could replay one journal.
func lock(string) (*os.File, error) { return nil, errors.ErrUnsupported }
