package providers_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
)

// nameFaults makes the tests' own name server fail.
type nameFaults struct {
	n  *providers.NameServer
	mu sync.Mutex

	faults  []*conformance.Fault
	expired bool
	met     int
	minTTL  uint32
}

func (f *nameFaults) Inject(x conformance.Fault) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch x.Kind {
	case conformance.Busy:
		return false
	case conformance.Expired:
		f.expired = true
		return true
	}
	f.faults = append(f.faults, &x)
	return true
}

func (f *nameFaults) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

func (f *nameFaults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.expired = nil, false
}

// due is the fault that befalls a message of the provider's.
func (f *nameFaults) due(update bool, req *dns.Msg) (conformance.Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rr := range req.Ns {
		if update && rr.Header().Class == dns.ClassINET {
			rr.Header().Ttl = max(rr.Header().Ttl, f.minTTL)
		}
	}
	if f.expired {
		f.met++
		return conformance.Fault{Kind: conformance.Expired}, true
	}
	for _, x := range f.faults {
		if !update || x.Nth <= 0 {
			continue
		}
		if x.Nth--; x.Nth == 0 {
			f.met++
			return *x, true
		}
	}
	return conformance.Fault{}, false
}

// answer says whether a message was answered.
func (f *nameFaults) answer(update bool, w dns.ResponseWriter, req *dns.Msg) bool {
	x, ok := f.due(update, req)
	if !ok {
		return false
	}
	switch x.Kind {
	case conformance.Between:
		x.Do()
		return false
	case conformance.Lost:
		f.n.CarryOut(req)
		w.Close()
	case conformance.Silent:
		f.n.CarryOut(req)
	case conformance.Broken:
		f.n.Answer(w, req, dns.RcodeServerFailure)
	case conformance.Refused:
		f.n.Answer(w, req, dns.RcodeRefused)
	case conformance.Expired:
		f.n.NoKey(w, req)
	}
	return true
}

func TestConformanceRFC2136(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "rfc2136", Against: "a server of the tests' own",
		Bed: func(t testing.TB) *conformance.Bed {
			n := providers.StartNameServer(t)
			f := &nameFaults{n: n}
			if strings.HasSuffix(t.Name(), "TTL_clamped_by_the_host") {
				f.minTTL = 60
			}
			n.On(f.answer)
			return &conformance.Bed{
				Kind: "rfc2136", Zone: "example.test.", Truth: n.Truth, Edit: n.EditOne, EditAll: n.Edit, Seen: n.Seen, Faults: f, Secrets: []string{n.Secret()}, MinTTL: f.minTTL,
				Settings: n.Settings(conformance.SecretFile(t, n.Secret())),
			}
		},
		Lacking: map[string]string{
			"two zones of one name": "a key leads to one view of the server",
			"rate limiting":         "there is no such answer in DNS",
		},
		Golden: "testdata/conformance/rfc2136.json",
	}.Run(t)
}
