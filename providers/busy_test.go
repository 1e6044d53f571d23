package providers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// A write that the service was too busy for, said by a status of its own, did
// nothing and is sent again.
func TestBusyWrites(t *testing.T) {
	t.Parallel()
	before, after := must(rrset.New("b.example.test", "MX", 300, "10 old.example.net.")), must(rrset.New("b.example.test", "MX", 300, "10 gw.example.net."))
	for path, c := range map[string]struct {
		bed     func() (http.Handler, *conformance.Bed)
		answers conformance.Answers
	}{
		"/2013-04-01/hostedzone/Z111PUBLIC/rrset":                          {func() (http.Handler, *conformance.Bed) { return route53Bed(t) }, route53Answers()},
		"/dns/v1/projects/example-dns/managedZones/example-public/changes": {func() (http.Handler, *conformance.Bed) { return googleBed(t) }, googleAnswers()},
	} {
		f, b := c.bed()
		if err := b.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		var writes atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && r.URL.Path == path && writes.Add(1) == 1 {
				c.answers.Busy(w, r, 0)
				return
			}
			f.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		own := s.URL
		if b.Kind == "googleclouddns" {
			own += "/dns/v1"
		}
		p := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "endpoint: ", "endpoint: "+own+" # ", 1)))
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
		if err != nil || !r.Got.Equal(after) || writes.Load() != 2 {
			t.Errorf("%s: %+v, %v, %d writes", b.Kind, r, err, writes.Load())
		}
	}
}
