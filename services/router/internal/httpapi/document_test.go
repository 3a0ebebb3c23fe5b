package httpapi

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/edumatrix/interlink/proto"
)

// document is proto/openapi.yaml, read as loosely as the checks here need.
type document struct{ root map[string]any }

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(proto.OpenAPI, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d document) get(from any, path ...string) any {
	for _, p := range path {
		from = d.resolve(from)
		m, ok := from.(map[string]any)
		if !ok {
			return nil
		}
		from = m[p]
	}
	return d.resolve(from)
}

func (d document) resolve(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	return d.get(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// operation finds what the document says of a request.
func (d document) operation(method, path string) (responses any, known bool) {
	path, _, _ = strings.Cut(path, "?")
	for template := range d.get(d.root, "paths").(map[string]any) {
		if !matches(template, path) {
			continue
		}
		of := d.get(d.root, "paths", template).(map[string]any)
		if op, ok := of[strings.ToLower(method)]; ok {
			return d.get(op, "responses"), true
		}
		for _, op := range of { // another method: any operation of the path says what 405 looks like
			return d.get(op, "responses"), true
		}
	}
	return nil, false
}

func matches(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !strings.HasPrefix(a[i], "{") && a[i] != b[i] {
			return false
		}
	}
	return true
}

// check compares an answer with the document: its status, its content type and its fields.
func (d document) check(t *testing.T, method, path string, resp *http.Response, body []byte) {
	t.Helper()
	responses, known := d.operation(method, path)
	if !known {
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s is served and not in the document", method, path)
		}
		return
	}
	says := d.get(responses, strconv.Itoa(resp.StatusCode))
	if says == nil {
		t.Fatalf("%s %s answers %d, which is not in the document", method, path, resp.StatusCode)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	content := d.get(says, "content", media)
	if content == nil {
		t.Fatalf("%s %s answers %d as %s, which is not in the document", method, path, resp.StatusCode, media)
	}
	if media == "application/x-ndjson" {
		return
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	if err := d.fits(d.get(content, "schema"), v, "$"); err != nil {
		t.Errorf("%s %s %d: %v", method, path, resp.StatusCode, err)
	}
}

// fits checks objects and arrays for exactly the fields that the schema has.
func (d document) fits(schema, v any, at string) error {
	s, ok := d.resolve(schema).(map[string]any)
	if !ok {
		return nil
	}
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, v) {
		return fmt.Errorf("%s: %v is not in %v", at, v, values)
	}
	switch v := v.(type) {
	case map[string]any:
		return d.fitsObject(s, v, at)
	case []any:
		for i, item := range v {
			if err := d.fits(s["items"], item, at+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d document) fitsObject(s, v map[string]any, at string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	properties, closed := s["properties"].(map[string]any)
	for name, value := range v {
		field, ok := properties[name]
		if !ok && closed {
			return fmt.Errorf("%s.%s is not in the document", at, name)
		}
		if !ok {
			field = s["additionalProperties"]
		}
		if err := d.fits(field, value, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func TestTheDocumentNamesWhatIsServedAndNothingElse(t *testing.T) {
	doc := readDocument(t)
	var documented, served []string
	for path, of := range doc.get(doc.root, "paths").(map[string]any) {
		for method := range of.(map[string]any) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range Routes() {
		served = append(served, r.Method+" "+r.Pattern)
	}
	served = append(served, "POST "+PlatformRoute)
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented %v\nserved     %v", documented, served)
	}
}

func TestEveryDocumentedAnswerIsMetByACall(t *testing.T) {
	doc := readDocument(t)
	met := map[string]bool{}
	for _, c := range calls {
		for template := range doc.get(doc.root, "paths").(map[string]any) {
			if path, _, _ := strings.Cut(c.path, "?"); matches(template, path) {
				met[template+" "+strconv.Itoa(c.status)] = true
			}
		}
	}
	for template, of := range doc.get(doc.root, "paths").(map[string]any) {
		for _, op := range of.(map[string]any) {
			for status := range doc.get(op, "responses").(map[string]any) {
				// 401, 413, 429, 500 and 503 are one piece of code for all paths: met on some of them.
				if shared := slices.Contains([]string{"401", "413", "429", "500", "503"}, status); !shared && !met[template+" "+status] {
					t.Errorf("%s %s is documented and no call gets it", template, status)
				}
			}
		}
	}
}
