package providers_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// answers reads a zone from a service that gives these answers by path, and looks
// for RRsets in it.
func answers(t *testing.T, kind string, by map[string]string, want []rrset.Set) {
	t.Helper()
	p := must(conformance.Open(kind, canned(t, by)))
	got, err := providers.Zone(t.Context(), p, "example.test.")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		found := false
		for _, s := range got {
			found = found || s.Equal(w)
		}
		if !found {
			t.Errorf("%v is missing in %v", w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d RRsets, want %d: %v", len(got), len(want), got)
	}
}

// hostile reads and writes at a service whose answers cannot be true. Nothing may
// be told to be there or written, and no secret shown. A path ends at its "?".
func hostile(t *testing.T, kind, path string, bodies map[string]string, also ...string) {
	t.Helper()
	before, after := must(rrset.New("example.test", "MX", 300, "10 old.example.net.")), must(rrset.New("example.test", "MX", 300, "10 gw.example.net."))
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by := map[string]string{path: body}
			for i := 0; i+1 < len(also); i += 2 {
				by[also[i]] = also[i+1]
			}
			p := must(conformance.Open(kind, canned(t, by)))
			if sets, err := providers.Zone(t.Context(), p, "example.test."); err == nil {
				t.Errorf("it was read as %v", sets)
			} else if strings.Contains(err.Error(), cannedToken) {
				t.Errorf("the token is in %v", err)
			}
			_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: "example.test.", Before: before, After: after})
			if err == nil || errors.Is(err, providers.ErrInDoubt) || strings.Contains(err.Error(), cannedToken) {
				t.Errorf("Replace: %v", err)
			}
		})
	}
}

const cannedToken = "canned-0123456789abcdef"

// canned serves these answers, by path, and nothing else. A write fails the test.
func canned(t *testing.T, by map[string]string) (settings string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := by[r.URL.Path]
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("a write: %s %s", r.Method, r.URL.Path)
			w.WriteHeader(http.StatusTeapot)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		default:
			io.WriteString(w, body)
		}
	}))
	t.Cleanup(s.Close)
	return fmt.Sprintf("endpoint: %s\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", s.URL, conformance.SecretFile(t, cannedToken))
}

// Settings are refused before anything is sent, without showing a secret.
func TestTokenSettings(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"digitalocean", "hetzner", "linode"} {
		token := fmt.Sprintf("token: {file: %s}\n", conformance.SecretFile(t, cannedToken))
		if _, err := conformance.Open(kind, token); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for settings, says := range map[string]string{
			"{}": "token", "token: {file: /none}": "token", "token: {env: MXCUTOVER_TEST_NOT_SET}": "not set",
			token + "endpoint: http://api.example.net": "https was expected", token + "endpoint: api.example.net": "an address",
			token + "endpoint: https://user:pw@api.example.net": "an address", token + "timeout: -1s": "timeout",
			token + "per_second: -1": "per_second", token + "zone: example.org": "zone",
		} {
			if _, err := conformance.Open(kind, settings); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), cannedToken) {
				t.Errorf("%s: %q: %v, want %q", kind, settings, err, says)
			}
		}
	}
}
