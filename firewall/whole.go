package firewall

import (
	"encoding/json"
	"slices"
	"strings"
)

// wholeness is what is seen of the table besides its sets. A set of closed ports
// closes nothing where the rule that asks it is gone, or another lets all through
// before it.
type wholeness struct {
	dormant bool // somebody has put the table to sleep
	hooks   []string
	rules   map[string][]nftRule // by chain, in their order
}

type nftRule struct {
	Chain string                       `json:"chain"`
	Expr  []map[string]json.RawMessage `json:"expr"`
}

// has is an expression of a rule by its kind.
func (r nftRule) has(kind string) (json.RawMessage, bool) {
	for _, e := range r.Expr {
		if x, ok := e[kind]; ok {
			return x, true
		}
	}
	return nil, false
}

// refuses tells whether the rules are those of one of the dialects. How nft writes a
// rule changes with its release, so they are counted, and told by what they do.
func (w wholeness) refuses() bool {
	if w.dormant || !w.rejects() {
		return false
	}
	return slices.ContainsFunc(dialects, func(d dialect) bool {
		return !slices.ContainsFunc(d.hooks(), func(h string) bool { return !slices.Contains(w.hooks, h) || !w.asks(&d, h) })
	})
}

// asks tells whether a hook has all its rules, and asks the closed ports last.
func (w wholeness) asks(d *dialect, hook string) bool {
	have := w.rules[hook]
	if len(have) == 0 || len(have) != strings.Count(d.rules(hook, 0), "\n") {
		return false
	}
	last := len(have) - 1
	for _, r := range have[:last] {
		if _, lets := r.has("accept"); !lets || len(r.Expr) < 2 {
			return false // what has no condition lets everybody through
		}
	}
	to, jumps := have[last].has("jump")
	armed := slices.ContainsFunc(have[last].Expr, func(e map[string]json.RawMessage) bool {
		return strings.Contains(string(e["match"]), `"@armed"`)
	})
	return jumps && armed && strings.Contains(string(to), `"refuse"`)
}

// rejects tells whether the chain that refuses ends in doing so.
func (w wholeness) rejects() bool {
	have := w.rules["refuse"]
	if len(have) == 0 {
		return false
	}
	_, rejects := have[len(have)-1].has("reject")
	_, drops := have[len(have)-1].has("drop")
	lets := slices.ContainsFunc(have, func(r nftRule) bool {
		_, accepts := r.has("accept")
		_, returns := r.has("return")
		return accepts || returns
	})
	return (rejects || drops) && !lets
}
