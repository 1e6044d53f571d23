package verify

import (
	"context"
	"fmt"
	"time"

	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// An MXAnswer is what one server says when it is asked for a domain's MX.
type MXAnswer struct {
	Server string        // "host address"; of a resolver "view address"
	Cache  bool          // a resolver: it tells what it keeps
	Set    rrset.Set     // absent: it says that there is none
	Keep   time.Duration // for how long who gets this may keep it (RFC 1035 section 3.2.1, RFC 2308 section 5)
	Err    error         // it gave no answer
}

// MXAnswers asks every authoritative server of a zone, at each address, and then every
// resolver, once, for a domain's MX. It judges nothing, and remembers nothing. A
// resolver that is asked may keep what it got.
func (c *Checker) MXAnswers(ctx context.Context, zone, domain string) ([]MXAnswer, error) {
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return nil, err
	}
	name := asked(domain)
	out := make([]MXAnswer, len(servers)+len(c.Resolvers))
	inParallel(len(out), func(i int) {
		if i < len(servers) {
			a, err := c.dns.Authoritative(ctx, servers[i], domain, "MX")
			out[i] = answerOf(servers[i].String(), a, err)
			return
		}
		r := c.Resolvers[i-len(servers)]
		a, err := c.dns.Ask(ctx, r.Addr, name, "MX", true)
		out[i] = answerOf(r.View+" "+r.Addr.String(), a, err)
		out[i].Cache, out[i].Set.Name = true, domain
	})
	return out, nil // what the context ended is an error of its answer
}

func answerOf(server string, a resolve.Answer, err error) MXAnswer {
	ttl := a.Set.TTL
	if a.Set.Absent() {
		ttl = a.Negative
	}
	if err == nil && a.CNAME != "" {
		err = fmt.Errorf("it is an alias for %s", rrset.Bare(a.CNAME))
	}
	return MXAnswer{Server: server, Set: a.Set, Keep: time.Duration(ttl) * time.Second, Err: err}
}
