package providers

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// tokenServer gives a new token each time, and serves those who have the last one.
type tokenServer struct {
	mu     sync.Mutex
	issued int
	served int
	answer func(w http.ResponseWriter, n int) bool // true: it answered for itself
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		s.issued++
		if s.answer == nil || !s.answer(w, s.issued) {
			fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":"3600"}`, s.issued)
		}
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", s.issued) {
		http.Error(w, "not accepted: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	s.served++
}

func startTokens(t *testing.T) (*tokenServer, *bearer, *api) {
	t.Helper()
	s := &tokenServer{}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	set := apiSettings{Timeout: 5 * time.Second, PerSecond: 10_000}
	b := must(newBearer(apiKind{endpoint: h.URL + "/token", credential: "client_secret"}, set, func(time.Time) (url.Values, string, error) {
		return url.Values{"assertion": {"hidden"}}, "hidden", nil
	}))
	return s, b, must(newAPI(apiKind{endpoint: h.URL, fresh: b.fresh}, set))
}

func TestBearerFetchesOnce(t *testing.T) {
	t.Parallel()
	s, b, a := startTokens(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := b.do(t.Context(), a, call{method: http.MethodPost}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s.issued != 1 || s.served != 20 {
		t.Errorf("%d tokens for %d calls", s.issued, s.served)
	}
	b.now = func() time.Time { return time.Now().Add(time.Hour) }
	if err := b.do(t.Context(), a, call{method: http.MethodGet}); err != nil || s.issued != 2 {
		t.Errorf("at its end: %v, %d tokens", err, s.issued)
	}
}

// A token that is no longer accepted is fetched anew once, also for a write; no
// error shows one.
func TestBearerFetchesAnew(t *testing.T) {
	t.Parallel()
	s, b, a := startTokens(t)
	if err := b.do(t.Context(), a, call{method: http.MethodGet}); err != nil {
		t.Fatal(err)
	}
	s.issued++ // somebody revoked ours
	if err := b.do(t.Context(), a, call{method: http.MethodPut}); err != nil || s.issued != 3 {
		t.Errorf("%v, %d tokens", err, s.issued)
	}
	s.answer = func(w http.ResponseWriter, _ int) bool {
		fmt.Fprint(w, `{"access_token":"stale","token_type":"Bearer"}`)
		return true
	}
	s.issued++
	err := b.do(t.Context(), a, call{method: http.MethodPut})
	if !errors.Is(err, ErrCredential) || s.issued != 5 || strings.Contains(err.Error(), "stale") || !strings.Contains(err.Error(), "***") {
		t.Errorf("never accepted: %v, %d tokens", err, s.issued)
	}
}

func TestBearerRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		is     error
		says   string
	}{
		"revoked":       {400, `{"error":"invalid_grant","error_description":"of hidden"}`, ErrCredential, "invalid_grant"},
		"unknown":       {401, `{"error":"invalid_client"}`, ErrCredential, "invalid_client"},
		"no tenant":     {404, `none`, ErrCredential, "client_secret"},
		"no token":      {200, `{"token_type":"Bearer"}`, nil, "no access token"},
		"another type":  {200, `{"access_token":"x","token_type":"mac"}`, nil, "no access token"},
		"header broken": {200, `{"access_token":"x\r\nHost: y","token_type":"Bearer"}`, nil, "no access token"},
		"no JSON":       {200, `<html>`, nil, "cannot be read"},
		"broken":        {503, ``, ErrTransient, "503"},
	} {
		s, b, a := startTokens(t)
		s.answer = func(w http.ResponseWriter, _ int) bool {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
			return true
		}
		err := b.do(t.Context(), a, call{method: http.MethodPut, zone: "example.test."})
		var lost *unanswered
		if err == nil || c.is != nil && !errors.Is(err, c.is) || errors.As(err, &lost) || errors.Is(err, ErrNoZone) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hidden") || s.served > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
