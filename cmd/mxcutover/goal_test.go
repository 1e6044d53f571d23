package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"mxcutover/state"
)

// TestEachStateCanBeWaitedFor: a state that is made later has its place in what --until
// takes.
func TestEachStateCanBeWaitedFor(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "../../state/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known, found := slices.Concat(waveStates, domainStates, isolationStates), 0
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Phase" {
			return true
		}
		word, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if found++; err != nil || !slices.Contains(known, state.Phase(word)) {
			t.Errorf("--until does not take the state %s (%q, %v)", v.Names[0], word, err)
		}
		return true
	})
	if found < 20 {
		t.Errorf("only %d states were found", found)
	}
}
