package verify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mxcutover/plan"
)

// tlsrpt reads where senders report that TLS failed: the first sign of a host
// that a policy does not list.
func tlsrpt(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	domain := cut.Domain
	all, err := c.txts(ctx, "_smtp._tls."+asked(cut.Domain))
	if err != nil {
		return nil, err
	}
	records := slices.DeleteFunc(all, func(t string) bool {
		version, _, _ := strings.Cut(t, ";")
		return blank(version) != "v=TLSRPTv1"
	})
	switch len(records) {
	case 0:
		return []plan.Finding{pass(domain, "no TLS-RPT record: nobody reports")}, nil
	case 1:
	default:
		return []plan.Finding{warn(domain, "there are %d TLS-RPT records, and senders go by none", len(records))}, nil
	}
	targets, err := readTLSRPT(records[0])
	if err != nil {
		return []plan.Finding{warn(domain, "senders cannot use the TLS-RPT record: %v", err)}, nil
	}
	return []plan.Finding{pass(domain, "reports about TLS go to %s", strings.Join(targets, ", "))}, nil
}

// readTLSRPT gives the URIs to which reports go (RFC 8460 section 3).
func readTLSRPT(record string) ([]string, error) {
	list, err := tags(record)
	if err != nil {
		return nil, err
	}
	rua, ok := value(list, "rua")
	if !ok {
		return nil, errors.New("it has no rua")
	}
	var out []string
	for _, s := range strings.Split(rua, ",") {
		s = blank(s)
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%.80q is no URI", s)
		case u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"), u.Scheme == "https" && u.Host != "":
			out = append(out, s)
		default:
			return nil, fmt.Errorf("%.80q is neither mailto:address nor https://", s)
		}
	}
	return out, nil
}
