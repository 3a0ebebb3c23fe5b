// Package mapping owns the file that says how a platform speaks today and what Interlink makes of it. It is YAML with jq
// programs (github.com/itchyny/gojq): one for each Kafka topic and each ready-made event of `POST /api/emit` and
// `server:emit`, which give envelopes or control records; one for each event of its pages (client.go), which says what of
// ours is meant; one for each ephemeral event of ours, which gives it in the pages' shapes. It also names the routes that
// know who may be in which room (authorize.go).
//
// Programs are compiled and checked when the file is loaded; a run is bounded in time, in outputs and in bytes. Nothing
// here does I/O but Load.
package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"
	"gopkg.in/yaml.v3"
)

// Bounds of one run of a program.
const (
	MaxRun     = 250 * time.Millisecond
	MaxOutputs = 1000
	MaxBytes   = 4 << 20
)

// Errors of Record and Event.
var (
	ErrNoProgram = errors.New("mapping: no program for this topic or event")
	ErrTooMuch   = errors.New("mapping: the program gave more than 1000 outputs or 4 MiB")
	ErrTooSlow   = errors.New("mapping: the program ran longer than 250 ms")
)

// Mapping is a loaded file. It is immutable and safe for concurrent use.
type Mapping struct {
	topics    map[string]*gojq.Code
	events    map[string]*gojq.Code
	ephemeral map[string]*gojq.Code
	client    map[string]*gojq.Code
	replies   map[string]*gojq.Code
	questions map[string]Question
	rooms     map[string]string
	codes     map[string]string
	access    Access
}

// file is the YAML. Programs are kept as nodes for their line numbers.
type file struct {
	Functions yaml.Node            `yaml:"functions"`
	Topics    map[string]yaml.Node `yaml:"topics"`
	Events    map[string]yaml.Node `yaml:"events"`
	Ephemeral map[string]yaml.Node `yaml:"ephemeral"`

	Client    map[string]yaml.Node    `yaml:"client"`
	Replies   map[string]yaml.Node    `yaml:"replies"`
	Questions map[string]questionYAML `yaml:"questions"`
	Rooms     map[string]string       `yaml:"rooms"`
	Codes     map[string]string       `yaml:"codes"`
	Authorize map[string]yaml.Node    `yaml:"authorize"`
	Connect   []listYAML              `yaml:"connect"`
}

// Load reads and compiles a file. Every bad program is reported, with file, topic and line.
func Load(path string) (*Mapping, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for text that is already here; name stands for the file in errors.
func Parse(name string, data []byte) (*Mapping, error) {
	var f file
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := &Mapping{codes: f.Codes}
	errs := make([]error, 0, 8)
	note := func(err error) { errs = append(errs, err) }
	var err error
	for _, section := range []struct {
		name     string
		programs map[string]yaml.Node
		into     *map[string]*gojq.Code
	}{
		{"topics", f.Topics, &m.topics}, {"events", f.Events, &m.events}, {"ephemeral", f.Ephemeral, &m.ephemeral},
		{"client", f.Client, &m.client}, {"replies", f.Replies, &m.replies},
	} {
		*section.into, err = compileAll(name, section.name, &f.Functions, section.programs)
		note(err)
	}
	m.rooms, err = roomNames(name, f.Rooms)
	note(err)
	m.questions, err = questions(name, &f.Functions, f.Questions)
	note(err)
	m.access, err = access(name, &f.Functions, f.Authorize, f.Connect)
	note(err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

func compileAll(file, section string, functions *yaml.Node, programs map[string]yaml.Node) (map[string]*gojq.Code, error) {
	out := make(map[string]*gojq.Code, len(programs))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		node := programs[name]
		program := &node
		if node.Kind == yaml.AliasNode {
			program = node.Alias
		}
		code, err := compile(functions, program)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s.%s: %w", file, section, name, err))
			continue
		}
		out[name] = code
	}
	return out, errors.Join(errs...)
}

// compile parses the program alone first, so that an error says its own line.
func compile(functions, program *yaml.Node) (*gojq.Code, error) {
	for _, node := range []*yaml.Node{functions, program} {
		text := node.Value
		if node == functions {
			text += " ."
		}
		if _, err := gojq.Parse(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", lineOf(node, text, err), err)
		}
	}
	query, err := gojq.Parse(functions.Value + "\n" + program.Value)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", program.Line, err)
	}
	code, err := gojq.Compile(query, gojq.WithFunction("omit", 1, 12, omit),
		gojq.WithVariables([]string{"$topic", "$target", "$user", "$arg", "$now"}))
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", program.Line, err)
	}
	return code, nil
}

func lineOf(node *yaml.Node, text string, err error) int {
	line := node.Line
	if node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		line++ // the text begins on the line after its indicator
	}
	var parse *gojq.ParseError
	if errors.As(err, &parse) {
		line += strings.Count(strings.TrimRight(text[:min(parse.Offset, len(text))], "\n ."), "\n")
	}
	return line
}

// Topics lists the topics that have a program, sorted.
func (m *Mapping) Topics() []string { return slices.Sorted(maps.Keys(m.topics)) }

// Events lists the event names that have a program, sorted.
func (m *Mapping) Events() []string { return slices.Sorted(maps.Keys(m.events)) }

// Source says where a record stands; it names outputs that name none themselves.
type Source struct {
	Topic     string
	Partition int
	Offset    int64
}

// Record maps one Kafka record. An output without `id` gets `topic/partition/offset#n`. No output is no error: the record
// concerns nobody. The outputs are not checked as envelopes here.
func (m *Mapping) Record(ctx context.Context, source Source, value []byte) ([]json.RawMessage, error) {
	code, ok := m.topics[source.Topic]
	if !ok {
		return nil, ErrNoProgram
	}
	id := func(n int) string {
		return fmt.Sprintf("%s/%d/%d#%d", source.Topic, source.Partition, source.Offset, n)
	}
	return run(ctx, code, value, id, source.Topic, nil)
}

// named names outputs that name none themselves: id, id#1, … An empty id names none.
func named(id string) func(int) string {
	if id == "" {
		return nil
	}
	return func(n int) string {
		if n == 0 {
			return id
		}
		return fmt.Sprintf("%s#%d", id, n)
	}
}

// Event maps a ready-made event: its data is the program's input, $topic its name, $target its targets as given. Without
// an output field `to` the targets stay as they are. Outputs that name none have id, id#1 and so on, if id is not empty.
// ErrNoProgram: the event passes unchanged.
func (m *Mapping) Event(ctx context.Context, name, id string, data []byte, to map[string]any) ([]json.RawMessage, error) {
	code, ok := m.events[name]
	if !ok {
		return nil, ErrNoProgram
	}
	return run(ctx, code, data, named(id), name, to)
}

// Ephemeral gives an ephemeral event of Interlink's own as the platform's pages read it: outputs {event, data} that go out
// instead of it. ErrNoProgram: it goes out as it is.
func (m *Mapping) Ephemeral(ctx context.Context, name string, data []byte) ([]json.RawMessage, error) {
	code, ok := m.ephemeral[name]
	if !ok {
		return nil, ErrNoProgram
	}
	return run(ctx, code, data, nil, name, nil)
}

func run(ctx context.Context, code *gojq.Code, value []byte, id func(int) string, topic string, to map[string]any) ([]json.RawMessage, error) {
	input, err := decode(value)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, MaxRun)
	defer cancel()
	var target any
	if to != nil {
		target = to
	}
	iter := code.RunWithContext(ctx, input, topic, target, nil, nil, nil)
	var out []json.RawMessage
	total := 0
	for {
		v, ok := iter.Next()
		if !ok {
			return out, nil
		}
		if err, bad := v.(error); bad {
			return nil, runError(ctx, err)
		}
		encoded, err := finish(v, id, len(out), target)
		if err != nil {
			return nil, err
		}
		if total += len(encoded); total > MaxBytes || len(out) >= MaxOutputs {
			return nil, ErrTooMuch
		}
		out = append(out, encoded)
	}
}

func runError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTooSlow
	}
	return fmt.Errorf("mapping: %w", err)
}

// finish gives an output its id and targets where it has none, and encodes it.
func finish(v any, id func(int) string, n int, target any) (json.RawMessage, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("mapping: output %d is no object", n)
	}
	object = maps.Clone(object)
	if object["id"] == nil && id != nil {
		object["id"] = id(n)
	}
	if object["to"] == nil && target != nil && object["control"] == nil {
		object["to"] = target
	}
	return gojq.Marshal(object)
}

// decode keeps numbers as they were written, beyond 2^53 too.
func decode(value []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("mapping: not JSON: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("mapping: not JSON: more than one value")
	}
	return v, nil
}

// omit is the jq function omit("a"; "b.c"; …): the object without these paths. What is absent stays absent.
func omit(v any, paths []any) any {
	for _, p := range paths {
		path, ok := p.(string)
		if !ok {
			return fmt.Errorf("omit: a path is a string, not %T", p)
		}
		v = without(v, strings.Split(path, "."))
	}
	return v
}

func without(v any, path []string) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	inner, ok := object[path[0]]
	if !ok {
		return v
	}
	object = maps.Clone(object)
	if len(path) == 1 {
		delete(object, path[0])
	} else {
		object[path[0]] = without(inner, path[1:])
	}
	return object
}
