// Package conformance is what every DNS provider must do: one table of cases
// that runs against a provider by [providers.Replace], as the rollout uses it,
// and looks at the zone by another way.
//
// A [Bed] is one service that the cases run against: a fake beside the
// provider's code, a real server, or a scratch subdomain of a real account. A
// [Suite] runs all cases against beds of one kind. Each case that a provider
// does not pass is recorded with its reason, in Shortfalls, and must then be
// safe: nothing was written, or what was written is told as it is. A recorded
// shortfall that passes is a failure, too.
//
// After each case, whatever it is about, the suite looks whether
//
//   - the other RRsets of the name are as they were,
//   - no error shows a secret,
//   - the RRset had a member at each moment, where Before and After have one.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/rrset"
)

// A Bed is a service that a case runs against, with one zone to write in.
type Bed struct {
	Kind     string // as [providers.Open] knows it
	Settings string // the section "settings" of the configuration, as YAML
	// Open opens the provider; nil: by Kind and Settings.
	Open func() (providers.Provider, error)

	Zone string // canonical
	Base string // all names are at it or below; canonical; empty: the zone
	// Truth is what the zone holds at a canonical name, read by another way than
	// the provider reads. Of several TTLs the highest counts.
	Truth func(ctx context.Context, name, typ string) (rrset.Set, error)
	// Edit is somebody else, who makes the RRset so; without data it is deleted.
	// Names and data may be spelled in any case, and hosts without their final dot:
	// they are to be stored so, where the service can.
	Edit func(ctx context.Context, s rrset.Set) error
	// EditAll is Edit of many RRsets at once, if there is a quicker way; or nil.
	EditAll func(ctx context.Context, sets ...rrset.Set) error
	// Seen is every state of an RRset so far, one after each write by anybody,
	// oldest first. Nil: nobody looks.
	Seen func(name, typ string) []rrset.Set
	// Faults makes the service fail; nil: it cannot be made to.
	Faults Faults
	// Secrets must be in no error.
	Secrets []string
	// MinTTL is what the service raises lower TTLs to; 0: it takes all.
	MinTTL uint32
	// TTLs are those that the service keeps, lowest first; nil: all from MinTTL on.
	TTLs []uint32
	// Account tells that the service is a real account, whose requests are counted.
	Account bool
	// Twin has a second zone of the same name; nil: the service cannot have one.
	Twin *Twin
}

// A Twin is a second zone of the same name at the same account.
type Twin struct {
	// Ambiguous are settings under which it cannot be told which zone is meant;
	// empty: there are none. Chosen name the bed's own zone.
	Ambiguous, Chosen string
	// Other is what the other zone holds.
	Other func(ctx context.Context, name, typ string) (rrset.Set, error)
}

// Open opens a provider of a kind with settings in YAML, decoded as strictly as
// the configuration's.
func Open(kind, settings string) (providers.Provider, error) {
	s, err := config.ParseSection("settings.yaml", []byte(settings))
	if err != nil {
		return nil, err
	}
	return providers.Open(kind, s.Decode)
}

func (b *Bed) open() (providers.Provider, error) {
	if b.Open != nil {
		return b.Open()
	}
	return Open(b.Kind, b.Settings)
}

// A FaultKind is one way in which a service fails.
type FaultKind int

// The faults.
const (
	// Between runs Do right before a write is carried out.
	Between FaultKind = iota
	// Lost carries a write out and cuts its answer off.
	Lost
	// Silent carries a write out and never answers.
	Silent
	// Broken answers a write with the service's own failure, and does nothing.
	Broken
	// Refused answers a write with a lasting refusal, and does nothing.
	Refused
	// Busy answers any request with the service's own "too many requests", and asks
	// for Wait where the service does so.
	Busy
	// Expired answers every request as if the credential were no longer valid, until
	// the service is healed.
	Expired
)

// A Fault befalls one write, or one request.
type Fault struct {
	Kind FaultKind
	Nth  int // of the writes or requests from now; 1: the next
	Do   func()
	Wait time.Duration
}

// Faults makes a service fail.
type Faults interface {
	// Inject arms a fault; false: the service cannot be made to fail so.
	Inject(f Fault) bool
	// Met tells how many armed faults have befallen a request.
	Met() int
	// Heal takes all faults away.
	Heal()
}

// errUnfit is the outcome of a case that cannot be run on a bed.
var errUnfit = errors.New("cannot be run here")

func unfit(why string) error { return fmt.Errorf("%w: %s", errUnfit, why) }

// SecretFile writes a secret to a file that ends with the test, and gives its path.
func SecretFile(t testing.TB, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
