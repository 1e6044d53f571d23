package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"mxcutover/state"
)

// TestHeldIsolationIsNotWaitedFor: a watch for a step of isolation ends where only a
// person goes on, and goes on where that was a person's own hold, or its lift is waited
// for.
func TestHeldIsolationIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	st := &state.Status{Isolation: state.IsolationStatus{State: state.IsolationObserved, Held: true, Reason: "old.names"}}
	for until, want := range map[string]error{"isolation=proven": exitCode(codePerson), "isolation=confirmed": exitCode(codePerson), "isolation=observed": nil, "isolation=held": exitCode(codePerson)} {
		g, err := parseGoal(until)
		if err != nil || !g.reached(st) || !errors.Is(g.exit(st), want) {
			t.Errorf("%s: %v, reached %v, %v", until, err, g.reached(st), g.exit(st))
		}
	}
	if g := (goal{what: "lifted", target: state.Isolate}); g.reached(st) {
		t.Error("a lift may yet come")
	}
	st.Isolation.Paused = true
	if g := (goal{what: "proven", target: state.Isolate}); g.reached(st) {
		t.Error("a person holds it, and may resume it")
	}
	st.Isolation.Held, st.Isolation.Paused = false, false
	if g := (goal{what: "proven", target: state.Isolate}); g.reached(st) {
		t.Error("it is on its way")
	}
}

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
