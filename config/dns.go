package config

// DNS says how name servers are asked, and where trust in signed zones begins.
type DNS struct {
	Rate       int      `yaml:"rate"`                  // questions a second to one server; default 200
	Anchors    []string `yaml:"anchors,nonempty"`      // DS or DNSKEY records; default those of the root zone
	AnchorFile string   `yaml:"anchor_file" is:"path"` // the same, as a master file
}

func (k *checker) dns() {
	k.atLeast("dns.rate", k.c.DNS.Rate, 1)
	if len(k.c.DNS.Anchors) > 0 && k.c.DNS.AnchorFile != "" {
		k.fault("dns.anchor_file", "stands beside dns.anchors", "write all anchors in one of the two")
	}
}
