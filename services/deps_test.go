package services

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/edumatrix/interlink/services/"

// source is what the files of a package, tests left out, import and which functions of package time they use.
type source struct {
	imports map[string]bool
	clock   []string
}

// clockFunctions read or wait for the clock; the types and constants of package time are values like others.
func clockFunctions() []string {
	return []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
}

func (s *source) add(file *ast.File) {
	name := ""
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		s.imports[path] = true
		if path == "time" {
			if name = "time"; spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok && name != "" {
			if x, ok := call.X.(*ast.Ident); ok && x.Name == name && slices.Contains(clockFunctions(), call.Sel.Name) {
				s.clock = append(s.clock, call.Sel.Name)
			}
		}
		return true
	})
}

func read(t *testing.T, dir string) source {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	s := source{imports: map[string]bool{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.add(file)
	}
	return s
}

// impure says what keeps a package from being pure, or "". Pure packages import the standard library without its network, files, logs and
// processes, xxhash, and packages of this module that are pure themselves. Codecs do not even import time; the others use its types only.
func (s source) impure(codec bool) string {
	for _, path := range slices.Sorted(maps.Keys(s.imports)) {
		first, _, _ := strings.Cut(path, "/")
		switch {
		case path == "time" && codec, first == "net" && path != "net/url", first == "os", first == "log", path == "syscall", path == "expvar", path == "plugin":
			return "imports " + path
		case strings.Contains(first, ".") && !strings.HasPrefix(path, module) && path != "github.com/cespare/xxhash/v2":
			return "imports " + path
		}
	}
	if len(s.clock) > 0 {
		return "uses the clock: time." + s.clock[0]
	}
	return ""
}

func TestPurePackagesStayPure(t *testing.T) {
	for dir, codec := range map[string]bool{
		"gateway/internal/engineio":  true,
		"gateway/internal/socketio":  true,
		"gateway/internal/wsframe":   true,
		"gateway/internal/cursor":    false,
		"gateway/internal/placement": false,
		"gateway/internal/receipts":  false,
	} {
		t.Run(dir, func(t *testing.T) {
			if s := read(t, dir); len(s.imports) == 0 {
				t.Fatal("no such package, or one without imports")
			}
			checkPure(t, dir, codec, map[string]bool{})
		})
	}
}

func checkPure(t *testing.T, dir string, codec bool, seen map[string]bool) {
	t.Helper()
	if seen[dir] {
		return
	}
	seen[dir] = true
	s := read(t, dir)
	if why := s.impure(codec); why != "" {
		t.Errorf("%s %s", dir, why)
	}
	for path := range s.imports {
		if inner, ok := strings.CutPrefix(path, module); ok {
			checkPure(t, inner, codec, seen)
		}
	}
}

// The parts know only what is theirs: a gateway knows no Kafka, and only presence knows Redis.
func TestPartsKeepToTheirDrivers(t *testing.T) {
	kafka := []string{"github.com/segmentio/kafka-go", "github.com/twmb/franz-go"}
	redis := []string{"github.com/redis/go-redis", "github.com/alicebob/miniredis"}
	for part, forbidden := range map[string][]string{
		"gateway":  slices.Concat(kafka, redis),
		"router":   redis,
		"presence": kafka,
	} {
		err := filepath.WalkDir(part, func(dir string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			if entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			for path := range read(t, dir).imports {
				for _, driver := range forbidden {
					if strings.HasPrefix(path, driver) {
						t.Errorf("%s imports %s", dir, path)
					}
				}
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}

func TestImpurityIsSeen(t *testing.T) {
	for body, want := range map[string]string{
		`import "net/url"`:                                         "",
		`import "net"`:                                             "imports net",
		`import "net/http"`:                                        "imports net/http",
		`import "log/slog"`:                                        "imports log/slog",
		`import "os"`:                                              "imports os",
		`import "time"; var _ time.Duration`:                       "",
		`import "time"; var _ = time.Now`:                          "uses the clock: time.Now",
		`import t "time"; var _ = t.Since(x)`:                      "uses the clock: time.Since",
		`import "google.golang.org/protobuf/proto"`:                "imports google.golang.org/protobuf/proto",
		`import "github.com/edumatrix/interlink/proto/emit/v1"`:    "imports github.com/edumatrix/interlink/proto/emit/v1",
		`import "github.com/edumatrix/interlink/services/cmd/any"`: "",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", fmt.Sprintf("package a\n%s\n", body), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s := source{imports: map[string]bool{}}
		if s.add(file); s.impure(false) != want {
			t.Errorf("%s: %q, want %q", body, s.impure(false), want)
		}
	}
	codec := source{imports: map[string]bool{"time": true}}
	if codec.impure(true) == "" {
		t.Error("a codec may import time")
	}
}
