package render

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/schematest"
)

var update = flag.Bool("update", false, "write the golden files anew; another pod template restarts every pod, say so in CHANGELOG.md")

const crd = "../../../charts/interlink/files/realtime.edumatrix.io_realtimegateways.yaml"

func resource(t *testing.T, file string) *v1alpha1.RealtimeGateway {
	t.Helper()
	s, err := schematest.Load(crd)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := &v1alpha1.RealtimeGateway{}
	if err := s.Parse(text, out); err != nil {
		t.Fatal(err)
	}
	out.UID = "1b4f0e98-0000-0000-0000-000000000000"
	return out
}

func rendered(t *testing.T, in Input) []byte {
	t.Helper()
	objects, err := Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(raw)
	}
	return out.Bytes()
}

func TestTheSameResourceGivesTheSameObjects(t *testing.T) {
	for name, apis := range map[string]APIs{"small": {}, "full": {HTTPRoute: true, ServiceMonitor: true, Certificate: true}} {
		t.Run(name, func(t *testing.T) {
			in := Input{Resource: resource(t, "testdata/"+name+".yaml"), APIs: apis, Boot: map[Component]string{Router: "b00t"}}
			got := rendered(t, in)
			if again := rendered(t, in); !bytes.Equal(got, again) {
				t.Error("twice, and not the same")
			}
			golden := "testdata/" + name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is another: go test ./internal/render -update, and look at what changed", golden)
			}
		})
	}
}

func TestReplicasAreNeverApplied(t *testing.T) {
	for _, file := range []string{"testdata/small.yaml", "testdata/full.yaml"} {
		if got := rendered(t, Input{Resource: resource(t, file)}); regexp.MustCompile(`(?m)^  replicas:`).Match(got) {
			t.Errorf("%s: a Deployment has replicas", file)
		}
	}
}

func TestAHurriedRolloutWaitsForNoDrain(t *testing.T) {
	r := resource(t, "testdata/small.yaml")
	calm := rendered(t, Input{Resource: r})
	r.Annotations = map[string]string{AnnotationHurry: "true"}
	hurried := rendered(t, Input{Resource: r})
	if !bytes.Contains(calm, []byte("minReadySeconds: 255")) || bytes.Contains(hurried, []byte("minReadySeconds")) || !bytes.Contains(hurried, []byte("maxSurge: 100%")) {
		t.Error("the pace is not the drain's, or stays so in a hurry")
	}
	template := regexp.MustCompile(`(?s)\n  template:.*?\n---|\n  template:.*$`)
	if a, b := template.FindAll(calm, -1), template.FindAll(hurried, -1); len(a) == 0 || !bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil)) {
		t.Error("hurry changes a pod template")
	}
}

// servicesSettings reads the names of the services' table of settings from its source: their module keeps it internal.
func servicesSettings(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../services/internal/config/settings.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
	out := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if v, err := strconv.Unquote(lit.Value); err == nil && name.MatchString(v) {
				out[v] = true
			}
		}
		return true
	})
	if len(out) < 60 {
		t.Fatalf("only %d settings found", len(out))
	}
	return out
}

func TestEverySettingOfTheServicesHasAFieldOrAReasonNotTo(t *testing.T) {
	known, none := servicesSettings(t), NoField()
	have := map[string]bool{}
	for _, s := range settings() {
		n := strings.TrimSuffix(s.name, "_FILE")
		have[n] = true
		if !known[n] {
			t.Errorf("%s: the services have no such setting", n)
		}
		if none[n] != "" {
			t.Errorf("%s: has a field, %s, and a reason not to", n, s.field)
		}
	}
	for n := range none {
		if !known[n] {
			t.Errorf("%s: has a reason for no field, but the services have no such setting", n)
		}
	}
	for n := range known {
		if !have[n] && none[n] == "" {
			t.Errorf("%s: neither a field nor a reason not to have one", n)
		}
	}
}

func TestAPatchThatIsNoneNamesItsComponent(t *testing.T) {
	r := resource(t, "testdata/small.yaml")
	r.Spec.Router.Patch = resource(t, "testdata/full.yaml").Spec.Gateway.Patch.DeepCopy()
	r.Spec.Router.Patch.Raw = []byte(`{"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}`)
	if _, err := Objects(Input{Resource: r}); err == nil || !strings.Contains(err.Error(), "router.patch") {
		t.Errorf("%v", err)
	}
}
