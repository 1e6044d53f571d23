package firewall

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Settings are what drivers need; each uses its own part.
type Settings struct {
	Socket   string   // lab: the unix socket of the embedded world's firewall
	BootFile string   // local, ssh: what is loaded at boot once confirmed; "" = /etc/mxcutover/isolate.nft
	Command  []string // local: put before the command, as in ip netns exec NAME
	Far      Far      // ssh: the old server
	Sudo     bool     // ssh: whoever logs in is not root, and becomes it by sudo -n

	Old []netip.Addr // script: the old server's addresses
	To  []netip.Addr // script, of redirect: the gateway's, one of each family that the old server has

	Unit   string        // local, ssh: the unit that loads the boot file; "" = the system's folder
	Window time.Duration // local, ssh: how late a command may come, whole seconds; 0 = 20 s
}

// Open makes a driver of a kind. It asks nothing yet.
func Open(kind string, s Settings) (Driver, error) {
	kinds := map[string]func(Settings) (Driver, error){
		"local":  openLocal,
		"lab":    openLab,
		"script": openScript,
		"ssh":    openSSH,
	}
	open, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("unknown firewall driver %q; there is: %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return open(s)
}
