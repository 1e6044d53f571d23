package verify

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mxcutover/rrset"
)

// An stsMode says what a sender does when a host is not as the policy wants it
// (RFC 8461 section 5).
type stsMode string

const (
	stsEnforce stsMode = "enforce" // it must not deliver
	stsTesting stsMode = "testing" // it delivers, and reports
	stsNone    stsMode = "none"    // it has no policy
)

// An stsPolicy is what a domain's senders hold it to (RFC 8461 section 3.2).
type stsPolicy struct {
	mode   stsMode
	hosts  []string // in lower case; the leftmost label may be "*"
	maxAge time.Duration
	text   string
}

// Bounds of a policy. RFC 8461 section 3.2 bounds max_age; section 3.3 advises 64 KiB.
const (
	maxPolicy = 64 << 10
	maxAge    = 31557600 // seconds
	maxHosts  = 1000
)

var (
	stsKey  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)
	stsHost = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	stsID   = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)
)

// readSTS reads a policy file: lines "key: value" that end in LF or CRLF. Of a
// key that stands there twice the first counts, but for mx; unknown ones are passed
// over (RFC 8461 section 3.2).
func readSTS(text string) (stsPolicy, error) {
	if len(text) > maxPolicy {
		return stsPolicy{}, fmt.Errorf("the policy is longer than %d octets", maxPolicy)
	}
	p := stsPolicy{text: text}
	seen := map[string]bool{}
	for i, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !stsKey.MatchString(key) || !printable(value) {
			return p, fmt.Errorf("line %d, %.60q, is no \"key: value\"", i+1, line)
		}
		if seen[key] && key != "mx" {
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return p, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	for _, key := range []string{"version", "mode", "max_age"} {
		if !seen[key] {
			return p, fmt.Errorf("the policy has no line %q", key)
		}
	}
	if len(p.hosts) == 0 && p.mode != stsNone {
		return p, errors.New(`the policy has no line "mx"`)
	}
	return p, nil
}

// set takes one line.
func (p *stsPolicy) set(key, value string) error {
	switch key {
	case "version":
		if value != "STSv1" {
			return fmt.Errorf("version %.20q is not STSv1", value)
		}
	case "mode":
		p.mode = stsMode(value)
		if !slices.Contains([]stsMode{stsEnforce, stsTesting, stsNone}, p.mode) {
			return fmt.Errorf("mode %.20q is not enforce, testing or none", value)
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || len(value) > 10 || n > maxAge {
			return fmt.Errorf("max_age %.20q is no number from 0 to %d", value, maxAge)
		}
		p.maxAge = time.Duration(n) * time.Second
	case "mx":
		if len(value) > 255 || !stsHost.MatchString(value) {
			return fmt.Errorf("mx %.80q is no name of a host", value)
		}
		if p.hosts = append(p.hosts, strings.ToLower(value)); len(p.hosts) > maxHosts {
			return fmt.Errorf("the policy lists more than %d hosts", maxHosts)
		}
	}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// lists tells whether a sender may deliver to an MX host; "*" stands for just
// one label (RFC 8461 section 4.1).
func (p stsPolicy) lists(host string) bool {
	host = rrset.Bare(host)
	_, rest, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.hosts, func(h string) bool {
		suffix, wild := strings.CutPrefix(h, "*.")
		return h == host || wild && suffix == rest
	})
}

// lacks are the hosts of MX records that the policy does not list.
func (p stsPolicy) lacks(members []rrset.MX) (out []string) {
	for _, m := range members {
		if !m.Null() && !p.lists(m.Host) {
			out = append(out, rrset.Bare(m.Host))
		}
	}
	return out
}

// with is the policy's text with more hosts, after the last that it has.
func (p stsPolicy) with(hosts []string) string {
	end := "\n"
	if strings.Contains(p.text, "\r\n") {
		end = "\r\n"
	}
	lines := strings.Split(strings.TrimRight(p.text, "\r\n"), end)
	at := len(lines)
	for i, l := range lines {
		if strings.HasPrefix(l, "mx:") {
			at = i + 1
		}
	}
	for i, h := range hosts {
		lines = slices.Insert(lines, at+i, "mx: "+h)
	}
	return strings.Join(lines, end) + end
}

// stsRecord reads the TXT records at _mta-sts: the id of the policy, or "" if
// there is none. More than one record, or a malformed one, is an error: senders
// act as if there were none (RFC 8461 section 3.1).
func stsRecord(all []string) (id string, err error) {
	records := slices.DeleteFunc(slices.Clone(all), func(t string) bool {
		version, _, _ := strings.Cut(t, ";")
		return strings.TrimRight(version, " \t") != "v=STSv1"
	})
	switch len(records) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", fmt.Errorf("there are %d records of MTA-STS, and senders go by none", len(records))
	}
	list, err := tags(records[0])
	if err != nil {
		return "", err
	}
	if id, _ = value(list, "id"); !stsID.MatchString(id) {
		return "", fmt.Errorf("the record's id, %.40q, is not up to 32 letters and digits", id)
	}
	return id, nil
}
