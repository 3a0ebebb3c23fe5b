// Package schematest owns, for tests, what the API server would say of a RealtimeGateway, without one: defaults,
// structure and CEL rules of the generated CRD. No program imports it.
package schematest

import (
	"context"
	"errors"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// celBudget is what the API server spends on the rules of one object.
const celBudget = 10_000_000

// Schema validates. Safe for use by many goroutines.
type Schema struct {
	structural *structural.Structural
	structure  validation.SchemaValidator
	rules      *cel.Validator
}

// Load reads a CRD of one version and checks it as the API server does when it is applied, the cost of rules included.
func Load(file string) (*Schema, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&crd)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	var internal apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&crd, &internal, nil); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	internal.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), &internal); len(errs) > 0 {
		return nil, fmt.Errorf("schema %s: %w", file, errs.ToAggregate())
	}
	of := internal.Spec.Validation
	if of == nil {
		of = internal.Spec.Versions[0].Schema
	}
	s := &Schema{}
	if s.structural, err = structural.NewStructural(of.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	if s.structure, _, err = validation.NewSchemaValidator(of.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	s.rules = cel.NewValidator(s.structural, true, celBudget)
	return s, nil
}

// Default fills in defaults and drops unknown fields, in place.
func (s *Schema) Default(object map[string]any) {
	defaulting.Default(object, s.structural)
	pruning.Prune(object, s.structural, true)
}

// Validate says what the API server would refuse; old is nil for a new object.
func (s *Schema) Validate(object, old map[string]any) error {
	errs := validation.ValidateCustomResource(nil, object, s.structure)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	var before any
	if old != nil {
		before = old
	}
	if len(errs) == 0 {
		more, _ := s.rules.Validate(context.Background(), field.NewPath(""), s.structural, object, before, celBudget)
		errs = append(errs, more...)
	}
	return errs.ToAggregate()
}

// Decode reads YAML as the API server does: whole numbers stay whole.
func Decode(text []byte) (value any, err error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	return value, json.Unmarshal(raw, &value)
}

// Parse is the object of a YAML text with defaults, valid, in into.
func (s *Schema) Parse(text []byte, into any) error {
	value, err := Decode(text)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return errors.New("parse: not an object")
	}
	s.Default(object)
	if err := s.Validate(object, nil); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, into); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	return nil
}
