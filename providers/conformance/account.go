package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/rrset"
)

// An Account is a real account that the suite is run at, in a scratch subdomain.
type Account struct {
	Config   string // the configuration file
	Provider string // the provider's name there
	Zone     string // a zone that it has
	MinTTL   uint32 // the lowest TTL that it takes; 0: any
	Cleanup  string // only delete what an earlier run left at this scratch name
	// Log tells what is being done.
	Log func(format string, args ...any)
}

const (
	scratchLabel = "mxcutover-conformance-"
	// cleanTime bounds the cleaning up, which goes on though the run was ended.
	cleanTime = 5 * time.Minute
)

// Run runs all cases that need no fault, one after the other, and prints the
// table. When the context ends, the case under way does, too. In any case it
// deletes everything at and below the scratch name. An error means that nothing
// was run, or that something was left.
func (a Account) Run(ctx context.Context, t *testing.T) (err error) {
	t.Helper()
	kind, open, err := a.opener()
	if err != nil {
		return err
	}
	zone, err := rrset.CanonicalName(a.Zone)
	if err != nil {
		return fmt.Errorf("zone: %w", err)
	}
	other, err := open() // reads and writes beside the one under test
	if err != nil {
		return err
	}
	if c, ok := other.(io.Closer); ok {
		defer c.Close()
	}
	if a.Cleanup != "" {
		return a.clean(ctx, other, zone, a.Cleanup)
	}
	scratch, err := a.scratch(ctx, other, zone)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := a.clean(context.WithoutCancel(ctx), other, zone, scratch); cerr != nil {
			err = fmt.Errorf("%w\nit can be tried again with CLEANUP=%s", cerr, rrset.Bare(scratch))
		}
	}()
	Suite{
		Name: a.Provider, Against: "a real account", Serial: true, Context: ctx, Lacking: lackingAtAccounts(a.MinTTL),
		Bed: func(testing.TB) *Bed {
			return &Bed{
				Kind: kind, Open: open, Zone: zone, Base: scratch, Account: true, MinTTL: a.MinTTL,
				Truth: func(ctx context.Context, name, typ string) (rrset.Set, error) {
					return listed(ctx, other, zone, name, typ)
				},
				Edit: func(ctx context.Context, s rrset.Set) error { return edited(ctx, other, zone, s) },
			}
		},
	}.Run(t)
	return nil
}

// lackingAtAccounts are the cases that need what an account cannot be asked for.
func lackingAtAccounts(minTTL uint32) map[string]string {
	out := map[string]string{
		"at the apex":           "the apex is in use",
		"two zones of one name": "the account is taken as it is",
		"500 records":           "an account's requests are counted",
	}
	for _, c := range cases {
		if c.faults {
			out[c.Name] = "a real service does not fail when it is asked to"
		}
	}
	if minTTL == 0 {
		out["TTL clamped by the host"] = "no lowest TTL is given (MINTTL)"
	}
	return out
}

// opener is how the provider is opened that the configuration has by this name.
func (a Account) opener() (kind string, open func() (providers.Provider, error), err error) {
	cfg, err := config.Load(a.Config)
	if err != nil {
		return "", nil, err
	}
	p, ok := cfg.Providers[a.Provider]
	if !ok {
		return "", nil, fmt.Errorf("%s has no provider %q", a.Config, a.Provider)
	}
	return p.Kind, func() (providers.Provider, error) { return providers.Open(p.Kind, p.Settings.Decode) }, nil
}

// scratch is a name that nothing is at, below or above as a wildcard.
func (a Account) scratch(ctx context.Context, p providers.Provider, zone string) (string, error) {
	name := scratchLabel + strings.ToLower(rand.Text()[:10]) + "." + zone
	sets, err := providers.Zone(ctx, p, zone)
	if err != nil {
		return "", err
	}
	for _, s := range sets {
		switch {
		case s.Name == "*."+zone:
			return "", fmt.Errorf("zone %s: there is a wildcard, %s %s, which would hide whether the scratch name exists; use another zone", rrset.Bare(zone), s.Name, s.Type)
		case rrset.Below(s.Name, name):
			return "", fmt.Errorf("%s is there already: %s", name, s.Name)
		}
	}
	a.Log("the cases write at and below %s, and delete it at the end", name)
	return name, nil
}

// clean deletes everything at and below the scratch name, and looks.
func (a Account) clean(ctx context.Context, p providers.Provider, zone, scratch string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	scratch, err := rrset.CanonicalName(scratch)
	if err != nil {
		return err
	}
	if first := rrset.Labels(scratch); len(first) == 0 || !strings.HasPrefix(first[0], scratchLabel) || !rrset.Below(scratch, zone) {
		return fmt.Errorf("%s is no scratch name of zone %s; nothing is deleted", scratch, zone)
	}
	var failed error
	for range 3 {
		sets, err := providers.Zone(ctx, p, zone)
		if err != nil {
			return fmt.Errorf("clean up %s: %w", scratch, err)
		}
		sets = slices.DeleteFunc(sets, func(s rrset.Set) bool { return !rrset.Below(s.Name, scratch) })
		if len(sets) == 0 {
			a.Log("%s is clean", scratch)
			return nil
		}
		failed = nil
		for _, s := range sets {
			if err := edited(ctx, p, zone, rrset.Set{Name: s.Name, Type: s.Type}); err != nil {
				failed = errors.Join(failed, fmt.Errorf("delete %s %s: %w", s.Name, s.Type, err))
			}
		}
	}
	return fmt.Errorf("%s is not clean: %w", scratch, errors.Join(failed, errors.New("it was tried three times")))
}

// listed is an RRset as the whole zone's listing has it, which is another way than
// that of reading one.
func listed(ctx context.Context, p providers.Provider, zone, name, typ string) (rrset.Set, error) {
	sets, err := providers.Zone(ctx, p, zone)
	if err != nil {
		return rrset.Set{}, err
	}
	for _, s := range sets {
		if s.Name == name && s.Type == typ {
			return s, nil
		}
	}
	return rrset.New(name, typ, 0)
}

// edited makes an RRset so, whatever is there.
func edited(ctx context.Context, p providers.Provider, zone string, s rrset.Set) error {
	s, err := rrset.New(s.Name, s.Type, s.TTL, s.Data...)
	if err != nil {
		return err
	}
	now, err := listed(ctx, p, zone, s.Name, s.Type)
	if err != nil || now.Equal(s) {
		return err
	}
	_, err = providers.Restore(ctx, p, rrset.Change{Zone: zone, Before: now, After: s})
	return err
}
