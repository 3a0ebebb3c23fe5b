package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/services/internal/config"
)

//go:generate go test . -run TestReadmeListsTheSettings -update

var update = flag.Bool("update", false, "write the table of settings into the README")

const (
	readme = "../../../README.md"
	begin  = "<!-- settings: made by `make generate` -->\n"
	end    = "<!-- /settings -->"
)

func TestReadmeListsTheSettings(t *testing.T) {
	raw, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	if !ok {
		t.Fatalf("the README lacks the line %q", begin)
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("the README lacks %q", end)
	}
	want := before + begin + config.Markdown() + "\n" + end + after
	if string(raw) == want {
		return
	}
	if !*update {
		t.Fatal("the README's table of settings is not what the code reads: run `make generate`")
	}
	if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
