package verify_test

import (
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixGateway are the rows of the gateway.
func matrixGateway() []row {
	forgets := in(func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) { b.world.Forget("choir.test") })
	dead := in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
		if err := b.world.Edit("choir.test", "dead.choir.test", "A", 5, host(b.facts, 250)); err != nil {
			t.Fatal(err)
		}
		*c = cut(t, "choir.test.", old, []string{"10 dead.choir.test."})
	})
	return []row{
		{check: "gw.connect", breaks: "nobody listens", when: verify.Before, good: in(nil), broken: dead},
		{check: "gw.recipient", breaks: "the domain is unknown there", when: verify.Before, good: in(nil), broken: forgets, says: "550"},
		{check: "gw.unknown", breaks: "nobody listens", when: verify.Before, good: in(nil), broken: dead},
	}
}
