package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// commentedKey is a key that the example shows in a comment, with words of its own.
	commentedKey = regexp.MustCompile(`^# ?([a-z_]+): \S.*?\s+# (.+)$`)
	exampleKey   = regexp.MustCompile(`^(\s*)((?:- )?)([A-Za-z0-9_.-]+):(\s.*)?$`)
	trailing     = regexp.MustCompile(`\s# ?(.+)$`)
)

// exampleWords gives what the documented example says of each key: the comment
// right above it, then the one beside it. Keys are spelled with * for names and items.
func exampleWords(text string) map[string]string {
	out := map[string]string{}
	type level struct {
		indent int
		path   string
	}
	var stack []level
	var above []string
	within := func(indent int) string {
		for len(stack) > 0 && stack[len(stack)-1].indent >= indent {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 {
			return ""
		}
		return stack[len(stack)-1].path
	}
	for _, line := range strings.Split(text, "\n") {
		bare := strings.TrimSpace(line)
		switch m := exampleKey.FindStringSubmatch(line); {
		case bare == "":
			above = nil
		case strings.HasPrefix(bare, "#"):
			if k := commentedKey.FindStringSubmatch(bare); k != nil {
				out[schemaPath(within(len(line)-len(strings.TrimLeft(line, " "))), k[1])] = k[2]
				continue
			}
			above = append(above, strings.TrimSpace(strings.TrimPrefix(bare, "#")))
		case m != nil:
			indent := len(m[1]) + len(m[2])
			path := within(len(m[1]) + len(m[2]))
			if m[2] != "" {
				path = within(len(m[1])) + ".*"
				stack = append(stack, level{len(m[1]), path})
			}
			path = schemaPath(path, m[3])
			says := strings.Join(above, " ")
			if t := trailing.FindStringSubmatch(m[4]); t != nil {
				says = strings.TrimSpace(says + " " + t[1])
			}
			if says != "" {
				out[path] = says
			}
			stack = append(stack, level{indent, path})
			above = nil
		default:
			above = nil
		}
	}
	return out
}

// named are the mappings whose keys are names of one's own.
var named = map[string]bool{"providers": true, "mx.templates": true, "resolvers": true, "waves.pin": true}

// schemaPath is a key within another, with * for a name of one's own.
func schemaPath(within, name string) string {
	switch {
	case named[within]:
		name = "*"
	case within == "":
		return name
	}
	return within + "." + name
}

// fieldWords gives the comments of all struct fields of some packages, by "Type.Field".
func fieldWords(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				st, ok := spec.Type.(*ast.StructType)
				if !ok {
					return false
				}
				for _, field := range st.Fields.List {
					says := strings.TrimSpace(field.Doc.Text() + " " + field.Comment.Text())
					for _, name := range field.Names {
						out[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(says), " ")
					}
				}
				return false
			})
		}
	}
	return out
}

var settingLine = regexp.MustCompile(`^([a-z0-9_]+(?:, [a-z0-9_]+)*)\s+(.+)$`)

// settingWords gives what a kind of provider says of each of its settings.
func settingWords(settings string) map[string]string {
	out := map[string]string{}
	var keys []string
	for _, line := range strings.Split(settings, "\n") {
		if m := settingLine.FindStringSubmatch(strings.TrimPrefix(line, "  ")); m != nil {
			keys = strings.Split(m[1], ", ")
			for _, key := range keys {
				out[key] = m[2]
			}
			continue
		}
		if !strings.HasPrefix(line, "     ") {
			keys = nil
		}
		for _, key := range keys {
			out[key] += " " + strings.TrimSpace(line)
		}
	}
	return out
}
