package router

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/edumatrix/interlink/proto"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/revocations"
)

// asyncAPI is what the checks here need of proto/asyncapi.yaml.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]any
	}
	Components struct {
		Messages map[string]struct {
			ContentType string `yaml:"contentType"`
			Examples    []struct{ Payload map[string]any }
		}
	}
}

func readAsyncAPI(t *testing.T) (doc asyncAPI) {
	t.Helper()
	if err := yaml.Unmarshal(proto.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDocumentNamesTheTopicsThatAreMade(t *testing.T) {
	var o Options
	o.defaults()
	var made, documented []string
	for _, topic := range o.topics() {
		made = append(made, topic.Name)
		if !publishable(strings.TrimPrefix(topic.Name, "interlink.")) {
			t.Errorf("%s can't be written by Emit.Publish", topic.Name)
		}
	}
	for _, c := range readAsyncAPI(t).Channels {
		if strings.HasPrefix(c.Address, "interlink.") {
			documented = append(documented, c.Address)
		}
	}
	slices.Sort(made)
	slices.Sort(documented)
	if !slices.Equal(made, documented) {
		t.Errorf("made       %v\ndocumented %v", made, documented)
	}
}

func TestTheDocumentsExamplesAreRead(t *testing.T) {
	doc := readAsyncAPI(t)
	seen := 0
	for name, m := range doc.Components.Messages {
		for _, example := range m.Examples {
			seen++
			value, err := json.Marshal(example.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if name == "Revocation" {
				if _, _, err := revocations.Parse(value); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			in := envelope.Message{Topic: "t", Value: value, Headers: []envelope.Header{{Key: "content-type", Value: []byte(m.ContentType)}}}
			if _, err := envelope.Decode(in); err != nil {
				t.Errorf("%s: %v: %s", name, err, value)
			}
		}
	}
	if want := len(doc.Channels["events"].Messages) + 1; seen != want {
		t.Errorf("%d examples were read, want one for each of %d messages", seen, want)
	}
}
