package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Change replaces a text that occurs once in a file below services/.
type Change struct{ File, Text, By string }

// BuildChanged builds a command of services/cmd to a path, with changes laid over its sources: the program as it would be
// without a rule of its own. Nothing of the sources is touched. A text that is not there once is an error.
func BuildChanged(root, command, path string, changes ...Change) error {
	dir, err := os.MkdirTemp("", "interlink-overlay")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	replace := map[string]string{}
	for i, c := range changes {
		of := filepath.Join(root, "services", c.File)
		from := of
		if earlier, again := replace[of]; again {
			from = earlier
		}
		source, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if n := strings.Count(string(source), c.Text); n != 1 {
			return fmt.Errorf("%q is %d times in %s: the change must follow the code", c.Text, n, c.File)
		}
		replace[of] = filepath.Join(dir, fmt.Sprint(i, ".go"))
		if err := os.WriteFile(replace[of], []byte(strings.Replace(string(source), c.Text, c.By, 1)), 0o644); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-overlay", list, "-o", path, "./cmd/"+command)
	cmd.Dir, cmd.Env = filepath.Join(root, "services"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

// LinkedBin makes a folder with links to built programs, so that one of them can be exchanged, and has Build return it.
// The caller removes it.
func LinkedBin(root string) (string, error) {
	names := []string{"gateway", "router", "presence", "interlink"}
	built, err := Build(root, names...)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "interlink-bin")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if err := os.Symlink(filepath.Join(built, name), filepath.Join(dir, name)); err != nil {
			return dir, err
		}
	}
	return dir, os.Setenv("TEST_BIN", dir)
}
