package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAMappingIsTriedOnRecordedLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recorded.jsonl")
	lines := []string{
		`{"topic":"messages","offset":7,"value":{"type":"MESSAGE_DELETED","data":{"messageId":"m1","conversationId":"c1"}},"expect":null}`,
		`{"topic":"students.post.unshared","value":{}}`, `{"topic":"other","value":{}}`, ``,
		`{"body":{"target":"user:u1","event":"notification:all_marked_read","data":{"count":3}}}`,
		`{"event":"conversation:join","args":[{"conversationId":"c1"}]}`,
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := run(t, nil, "map", "../../../config/edu-matrix.yaml", "--records", file)
	if code != 0 {
		t.Fatalf("code %d: %s%s", code, out, errOut)
	}
	for _, want := range []string{
		`{"line":1,"of":"messages","outputs":[{"data":{"conversationId":"c1","messageId":"m1"},"event":"message:deleted","id":"messages/0/7#0","to":{"rooms":["conversation:c1"]}}]}`,
		`"note":"concerns nobody"`, `"note":"the mapping says nothing of it"`, `"event":"notification:all_read"`,
		`{"line":6,"of":"conversation:join","outputs":[{"join":"conversation:c1","ack":{"conversationId":"c1","success":true}}]}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	if err := os.WriteFile(file, []byte(`{"topic":"message-sent","value":[1]}`+"\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, nil, "map", "../../../config/edu-matrix.yaml", "--records", file); code != 1 || strings.Count(out, `"error"`) != 2 {
		t.Errorf("code %d: %s", code, out)
	}
	if code, _, errOut := run(t, nil, "map", "../../../config/edu-matrix.yaml"); code != 1 || !strings.Contains(errOut, "--records: expected") {
		t.Errorf("code %d: %s", code, errOut)
	}
}
