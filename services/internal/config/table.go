package config

import (
	"fmt"
	"strings"
)

// Entry is a setting for people: what `interlink config` and the README show.
type Entry struct {
	Name    string
	Group   string
	Default string // as a value, or in words
	Doc     string
	Value   string // at present; a secret shows as ***
	Given   bool   // by the environment
	File    string // the file that it came from
}

func (s setting) entry(from source, given bool) Entry {
	e := Entry{Name: s.name, Group: s.group, Default: s.def, Doc: s.doc, Value: from.text, Given: given, File: from.path}
	if s.defText != "" {
		e.Default = s.defText
	} else if s.def != "" {
		e.Default = "`" + s.def + "`"
	}
	if s.secret && e.Value != "" {
		e.Value = "***"
	}
	return e
}

// Markdown is the table of all settings for the README.
func Markdown() string {
	c := Config{}
	var b strings.Builder
	group := ""
	for _, s := range settings(&c) {
		e := s.entry(source{}, false)
		if e.Group != group {
			group = e.Group
			fmt.Fprintf(&b, "\n**%s**\n\n| Name | Default | What it is |\n|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.Name, e.Default, e.Doc)
	}
	return b.String()
}
