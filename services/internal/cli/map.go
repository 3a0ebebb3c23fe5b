package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/mapping"
)

// maxLine bounds one recorded line, in bytes.
const maxLine = 16 << 20

func (c Command) mapping() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "map MAPPING --records FILE", Short: "What a mapping makes of recorded lines",
		Long: `Runs the programs of a mapping over recorded lines, one JSON object a line, and prints what comes out of each:

  {"topic":"messages","value":{…}}                     a Kafka record (partition and offset may be given)
  {"body":{"event":"…","data":{…},"rooms":["…"]}}      a body of POST /api/emit, or {"target","event","data"}
  {"event":"conversation:join","args":[{…}]}           an event of a page

Nothing is published. The exit code is 1 if a line failed: it would go to the dead letters.`,
		Example: `  interlink map config/edu-matrix.yaml --records recorded.jsonl
  interlink map mapping.yaml --records - < recorded.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return errors.New("--records: expected a file of recorded lines, or - for standard input")
			}
			m, err := mapping.Load(args[0])
			if err != nil {
				return err
			}
			if file == "-" {
				return c.mapLines(cmd.Context(), m, cmd.InOrStdin())
			}
			records, err := os.Open(file)
			if err != nil {
				return fmt.Errorf("--records: %w", err)
			}
			defer records.Close()
			return c.mapLines(cmd.Context(), m, records)
		},
	}
	cmd.Flags().StringVar(&file, "records", "", "recorded lines (JSON Lines), - for standard input")
	return cmd
}

// recorded is one line. What else is in it is ignored.
type recorded struct {
	Topic     string            `json:"topic"`
	Partition int               `json:"partition"`
	Offset    *int64            `json:"offset"`
	Value     json.RawMessage   `json:"value"`
	Body      *recordedBody     `json:"body"`
	Event     string            `json:"event"`
	Args      []json.RawMessage `json:"args"`
	User      string            `json:"user"`
}

type recordedBody struct {
	Event  string          `json:"event"`
	Target string          `json:"target"`
	Data   json.RawMessage `json:"data"`
	Rooms  []string        `json:"rooms"`
}

// mappedLine is what is printed of one.
type mappedLine struct {
	Line    int               `json:"line"`
	Of      string            `json:"of"`
	Outputs []json.RawMessage `json:"outputs"`
	Note    string            `json:"note,omitempty"`
	Error   string            `json:"error,omitempty"`
}

func (c Command) mapLines(ctx context.Context, m *mapping.Mapping, records io.Reader) error {
	out := json.NewEncoder(c.Out)
	out.SetEscapeHTML(false)
	scanner := bufio.NewScanner(records)
	scanner.Buffer(nil, maxLine)
	failed := false
	for n := 1; scanner.Scan(); n++ {
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		line := mapLine(ctx, m, scanner.Bytes(), n)
		failed = failed || line.Error != ""
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("--records: %w", err)
	}
	if failed {
		return &exitError{code: 1}
	}
	return nil
}

func mapLine(ctx context.Context, m *mapping.Mapping, text []byte, n int) mappedLine {
	line := mappedLine{Line: n, Outputs: []json.RawMessage{}}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		line.Error = "not a JSON object: " + err.Error()
		return line
	}
	out, err := outputs(ctx, m, r, n, &line.Of)
	switch {
	case errors.Is(err, mapping.ErrNoProgram):
		line.Note = "the mapping says nothing of it"
	case err != nil:
		line.Error = err.Error()
	case len(out) == 0:
		line.Note = "concerns nobody"
	default:
		line.Outputs = out
	}
	return line
}

func outputs(ctx context.Context, m *mapping.Mapping, r recorded, n int, of *string) ([]json.RawMessage, error) {
	switch {
	case r.Topic != "":
		*of = r.Topic
		source := mapping.Source{Topic: r.Topic, Partition: r.Partition, Offset: int64(n - 1)}
		if r.Offset != nil {
			source.Offset = *r.Offset
		}
		return m.Record(ctx, source, r.Value)
	case r.Body != nil && r.Body.Event != "":
		*of = r.Body.Event
		return m.Event(ctx, r.Body.Event, "", r.Body.Data, targetsOf(r.Body))
	case r.Event != "":
		*of = r.Event
		var arg json.RawMessage
		if len(r.Args) > 0 {
			arg = r.Args[0]
		}
		op, err := m.Client(ctx, r.Event, r.User, arg)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(op)
		return []json.RawMessage{raw}, err
	}
	return nil, mapping.ErrNoProgram
}

func targetsOf(b *recordedBody) map[string]any {
	names := b.Rooms
	if len(names) == 0 && b.Target != "" {
		names = []string{b.Target}
	}
	rooms := make([]any, len(names))
	for i, name := range names {
		rooms[i] = name
	}
	return map[string]any{"rooms": rooms}
}
