package state

import (
	"fmt"
	"strings"
)

// CheckChanges reports what no state takes: too many changes, a name that is none, an item that is named twice. Every
// expectation is held against the items as they were before, so that the order of changes means nothing.
func CheckChanges(changes []Change) error {
	if len(changes) > MostChanges {
		return fmt.Errorf("%d changes at once, %d are allowed", len(changes), MostChanges)
	}
	named := make(map[[2]string]bool, len(changes))
	for _, c := range changes {
		if err := checkName(c.Kind, c.ID); err != nil {
			return err
		}
		if c.Expect < Anything {
			return fmt.Errorf("%s %s: no item is at revision %d", c.Kind, c.ID, c.Expect)
		}
		name := [2]string{c.Kind, c.ID}
		if named[name] {
			return fmt.Errorf("%s %s is changed twice at once", c.Kind, c.ID)
		}
		named[name] = true
	}
	return nil
}

// CheckItems reports items that cannot be restored: a name that is none, an item that is there twice.
func CheckItems(items []Item) error {
	named := make(map[[2]string]bool, len(items))
	for _, i := range items {
		if err := checkName(i.Kind, i.ID); err != nil {
			return err
		}
		name := [2]string{i.Kind, i.ID}
		if named[name] {
			return fmt.Errorf("%s %s is there twice", i.Kind, i.ID)
		}
		named[name] = true
	}
	return nil
}

func checkName(kind, id string) error {
	if kind == "" || id == "" || strings.Contains(kind, "/") || strings.Contains(id, "/") {
		return fmt.Errorf("kind %q and id %q do not name an item: neither may be empty or hold a slash", kind, id)
	}
	return nil
}

// VersionsKept is how many of the latest versions Since remembers once one of them has changed so many items: kept, or
// fewer when they would hold more than NamesKept names, but not less than a hundredth of kept.
func VersionsKept(kept int64, changed int) int64 {
	return max(min(kept, NamesKept/int64(max(changed, 1))), kept/100, 1)
}
