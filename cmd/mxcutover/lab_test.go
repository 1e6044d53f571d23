package main

import (
	"testing"

	"mxcutover/lab"
)

// startLab starts a world that ends with the test.
func startLab(t *testing.T, o lab.Options) *lab.World {
	t.Helper()
	w, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}
