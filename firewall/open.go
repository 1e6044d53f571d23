package firewall

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Settings are what drivers need; each uses its own part.
type Settings struct {
	Socket   string   // lab: the unix socket of the embedded world's firewall
	BootFile string   // local: what is loaded at boot once confirmed; "" = DefaultBootFile
	Command  []string // local: put before nft, as in ip netns exec NAME
}

// Open makes a driver of a kind. It asks nothing yet.
func Open(kind string, s Settings) (Driver, error) {
	kinds := map[string]func(Settings) (Driver, error){
		"local": openLocal,
		"lab":   openLab,
	}
	open, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("unknown firewall driver %q; there is: %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return open(s)
}
