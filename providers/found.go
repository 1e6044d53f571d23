package providers

import (
	"errors"
	"fmt"
	"sync"

	"mxcutover/rrset"
)

// foundZones remembers which zone at the vendor is meant by a name, for accounts
// that may ask only a few times a second. What a zone holds is never remembered.
// The zero value is ready.
type foundZones struct {
	mu sync.Mutex
	at map[string]string
}

// find gives what the zone was found as, or looks.
func (f *foundZones) find(zone string, look func() (string, error)) (string, error) {
	f.mu.Lock()
	found, ok := f.at[zone]
	f.mu.Unlock()
	if ok {
		return found, nil
	}
	found, err := look()
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[string]string{}
	}
	f.at[zone] = found
	return found, nil
}

// after forgets a zone that is no longer there, and gives the error back.
func (f *foundZones) after(zone string, err error) error {
	if errors.Is(err, ErrNoZone) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.at, zone)
	}
	return err
}

// chosenZones are settings that choose a zone by its name: the names made
// canonical.
func chosenZones(key string, chosen map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for name, id := range chosen {
		zone, err := rrset.CanonicalName(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", key, err)
		case id == "":
			return nil, fmt.Errorf("%s: nothing is chosen for %s", key, name)
		case out[zone] != "":
			return nil, fmt.Errorf("%s: %s is named twice", key, name)
		}
		out[zone] = id
	}
	return out, nil
}
