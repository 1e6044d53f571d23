package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is one kind of provider that [Open] knows.
type Kind struct {
	Kind string
	Mode Mode
	About
}

// About is what people are told of a kind.
type About struct {
	Title    string // "PowerDNS (HTTP API)"
	Settings string // one line a setting, then what else is to be known
	Example  string // the section "settings" of the configuration, as YAML
	// Quirks are what the service does otherwise than one would expect, and what is
	// done about it. One paragraph each.
	Quirks []string
	Proven string // on what the conformance suite ran, and how
	Docs   string // where the vendor documents what was used
}

// kind is a line of the table of all kinds.
type kind struct {
	mode  Mode
	about About
	open  func(decode func(into any) error) (Provider, error)
}

// kinds is never changed.
var kinds = map[string]kind{
	"azure":          {Swap, azureAbout, openAzure},
	"cloudflare":     {Set, cloudflareAbout, openCloudflare},
	"desec":          {Set, desecAbout, openDeSEC},
	"digitalocean":   {Edit, digitaloceanAbout, openDigitalOcean},
	"dnsimple":       {Edit, dnsimpleAbout, openDNSimple},
	"gandi":          {Set, gandiAbout, openGandi},
	"googleclouddns": {Swap, googleAbout, openGoogle},
	"hetzner":        {Edit, hetznerAbout, openHetzner},
	"linode":         {Edit, linodeAbout, openLinode},
	"manual":         {Hand, manualAbout, openManual},
	"ovh":            {Edit, ovhAbout, openOVH},
	"powerdns":       {Set, powerdnsAbout, openPowerDNS},
	"rfc2136":        {Swap, rfc2136About, openRFC2136},
	"route53":        {Swap, route53About, openRoute53},
	"scaleway":       {Set, scalewayAbout, openScaleway},
	"zonefile":       {Swap, zonefileAbout, openZonefile},
}

// Kinds lists the kinds of providers, by name.
func Kinds() []Kind {
	var out []Kind
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, Kind{Kind: name, Mode: kinds[name].mode, About: kinds[name].about})
	}
	return out
}

// Open opens a provider of a kind. decode fills the struct of settings that its
// argument points to, and must refuse unknown keys. Nothing is sent yet; an
// unset secret is an error.
func Open(kind string, decode func(into any) error) (Provider, error) {
	k, ok := kinds[kind]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		return nil, fmt.Errorf("no provider is of kind %.40q; the kinds are: %s", kind, known)
	}
	p, err := k.open(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return Guard(p), nil
}
