package storetest_test

import (
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) state.Store { return storetest.NewMemory() })
}
