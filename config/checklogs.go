package config

import (
	"fmt"
	"path/filepath"
	"time"
)

// logs checks where mail logs are, and what is made of them.
func (k *checker) logs() {
	t := k.c.Traffic
	oneOf(k, "traffic.format", t.Format, "auto", "exchange", "exim", "journald", "postfix", "sendmail", "syslog")
	for key, globs := range map[string][]string{"traffic.logs": t.Logs, "traffic.gateway_logs": t.GatewayLogs} {
		unique(k, key, globs, func(s string) string { return s })
		for i, g := range globs {
			if _, err := filepath.Match(g, ""); err != nil && k.good(item(key, i)) {
				k.fault(item(key, i), fmt.Sprintf("%.80q is no pattern for files", g), "write a path, with * for any letters")
			}
		}
	}
	if z := t.Zone; k.good("traffic.zone") && z != "" {
		if _, err := time.LoadLocation(z); err != nil || z == "Local" {
			k.fault("traffic.zone", fmt.Sprintf("%.80q is no time zone that this machine knows", z), "write one as in: Europe/Berlin")
		}
	}
	k.atLeast("traffic.real.messages", t.Real.Messages, 1)
	if x := t.Real.Excess; k.good("traffic.real.excess") && (x <= 0 || x >= 1) {
		k.fault("traffic.real.excess", fmt.Sprintf("is %g; a share above 0 and below 1 was expected", x), "write 0.2")
	}
}
