package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const apiToken = "tok/en+0123456789"

// apiFor is a client of a server that answers so.
func apiFor(t *testing.T, h http.HandlerFunc, change ...func(*apiKind, *apiSettings)) (*api, *httptest.Server) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	k := apiKind{perSecond: 10_000, secrets: []string{apiToken}, credential: "token", sign: func(r *http.Request, _ []byte) error {
		r.Header.Set("Authorization", "Bearer "+apiToken)
		return nil
	}}
	set := apiSettings{Endpoint: s.URL + "/v1", Timeout: time.Second}
	for _, f := range change {
		f(&k, &set)
	}
	a, err := newAPI(k, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, s
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"https://api.example.net": true, "https://api.example.net/v1/": true, "http://127.0.0.1:8081": true, "http://[::1]:8081/x": true,
		"http://api.example.net": false, "http://localhost:8081": false, "https://user:pw@api.example.net": false, "ftp://127.0.0.1": false,
		"https://api.example.net?x=y": false, "https://": false, "api.example.net": false, "https://a b": false,
	} {
		if _, err := newAPI(apiKind{perSecond: 1}, apiSettings{Endpoint: endpoint}); (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	for _, s := range []apiSettings{{Timeout: -1}, {Timeout: 2 * time.Hour}, {PerSecond: -1}, {PerSecond: 1e9}} {
		s.Endpoint = "https://api.example.net"
		if _, err := newAPI(apiKind{perSecond: 1}, s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

// What an answer means, of a reading and of a write. Only what may be repeated is.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		header string
		body   string
		method string
		is     error // nil: success
		tries  int
		doubt  bool
	}{
		"read":               {200, "", `{"a":1}`, "GET", nil, 1, false},
		"write":              {204, "", ``, "PUT", nil, 1, false},
		"read 500":           {500, "", `oops`, "GET", ErrTransient, maxRepeats, false},
		"read 429":           {429, "0", `{}`, "GET", ErrTransient, maxRepeats, false},
		"read 429, too long": {429, "3600", `{}`, "GET", ErrTransient, 1, false},
		"write 429":          {429, "0", `{}`, "PUT", ErrTransient, maxRepeats, false},
		"write 500":          {500, "", `{}`, "PUT", nil, 1, true},
		"write 502":          {502, "", `<html>`, "PATCH", nil, 1, true},
		"write 503":          {503, "1", `{}`, "POST", nil, 1, true},
		"write 408":          {408, "", `{}`, "DELETE", nil, 1, true},
		"write 400":          {400, "", `{}`, "DELETE", errAny, 1, false},
		"write 409":          {409, "", `{}`, "POST", errAny, 1, false},
		"401":                {401, "", `{}`, "GET", ErrCredential, 1, false},
		"write 403":          {403, "", `{}`, "PUT", ErrCredential, 1, false},
		"404":                {404, "", `{}`, "GET", ErrNoZone, 1, false},
		"read no JSON":       {200, "", `<html>`, "GET", errAny, 1, false},
		"write no JSON":      {200, "", `<html>`, "POST", nil, 1, true},
		"redirect":           {302, "", ``, "GET", errAny, 1, false},
		"write redirect":     {307, "", ``, "POST", errAny, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			a, _ := apiFor(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				if c.status/100 == 3 {
					w.Header().Set("Location", "http://127.0.0.2:1/elsewhere")
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			a.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			var into any
			err := a.do(t.Context(), call{method: c.method, path: "/x", body: map[string]int{"n": 1}, into: &into, zone: "z.test."})
			if c.status == 204 {
				err = a.do(t.Context(), call{method: c.method, path: "/x", zone: "z.test."})
				tries.Add(-1)
			}
			anyError, lost := errors.Is(c.is, errAny), (*unanswered)(nil)
			switch {
			case c.doubt != errors.As(err, &lost):
				t.Errorf("error %v; in doubt: %v was expected", err, c.doubt)
			case c.doubt:
			case c.is == nil && err != nil, c.is != nil && err == nil, !anyError && !errors.Is(err, c.is):
				t.Errorf("error %v, want %v", err, c.is)
			}
			if err != nil && (!strings.Contains(err.Error(), "z.test") || anyError && errors.Is(err, ErrTransient)) {
				t.Errorf("error %v", err)
			}
			if n := int(tries.Load()); n != c.tries {
				t.Errorf("asked %d times, want %d", n, c.tries)
			}
		})
	}
}

var errAny = errors.New("any")

// A vendor that sends the secret back, control characters and megabytes, does not
// get them into an error.
func TestHostileErrors(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"echo": "token " + apiToken + " tok%2Fen%2B0123456789 is bad", "escapes": "\x1b[31m\x00\r\nred", "long": strings.Repeat("x", 5<<20),
	} {
		a, _ := apiFor(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, body)
		})
		err := a.do(t.Context(), call{method: "GET", path: "/zones/" + apiToken})
		if err == nil || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\x1b\x00\r\n") || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: %.300q", name, err)
		}
	}
	a, _ := apiFor(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 40 {
			w.Write(make([]byte, 1<<20))
		}
	}, func(_ *apiKind, s *apiSettings) { s.Timeout = time.Minute })
	if err := a.do(t.Context(), call{method: "GET", path: "/"}); !errors.Is(err, errTooLong) || errors.Is(err, ErrTransient) {
		t.Errorf("40 MiB: %v", err)
	}
}

// The credential goes to its own host, also where an answer leads elsewhere.
func TestRedirectsStayAtHome(t *testing.T) {
	t.Parallel()
	var abroad atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { abroad.Store(true) }))
	defer other.Close()
	a, s := apiFor(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/home":
			http.Redirect(w, r, "/v1/there", http.StatusFound)
		case "/v1/there":
			json.NewEncoder(w).Encode(r.Header.Get("Authorization") != "" && r.Header.Get("User-Agent") == "mxcutover")
		case "/v1/loop":
			http.Redirect(w, r, "/v1/loop", http.StatusFound)
		default:
			http.Redirect(w, r, other.URL, http.StatusFound)
		}
	})
	_ = s
	var signed bool
	if err := a.do(t.Context(), call{method: "GET", path: "/home", into: &signed}); err != nil || !signed {
		t.Errorf("within the host: %v, signed %v", err, signed)
	}
	for _, path := range []string{"/abroad", "/loop"} {
		if err := a.do(t.Context(), call{method: "GET", path: path}); err == nil {
			t.Errorf("%s was followed", path)
		}
	}
	if abroad.Load() {
		t.Error("the other host was asked")
	}
}

// What never was sent is not in doubt; what was, is, however the connection ended.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	nobody, err := newAPI(apiKind{perSecond: 1000}, apiSettings{Endpoint: "http://" + gone, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	nobody.pause = func(context.Context, time.Duration) error { return nil }
	lost := &unanswered{}
	if err := nobody.do(t.Context(), call{method: "PUT", path: "/"}); !errors.Is(err, ErrTransient) || errors.As(err, &lost) {
		t.Errorf("nobody there: %v", err)
	}
	cut, _ := apiFor(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err := cut.do(t.Context(), call{method: "PUT", path: "/"}); !errors.As(err, &lost) || lost.fence < time.Minute || cut.Fence() != lost.fence {
		t.Errorf("cut off: %v", err)
	}
	half, _ := apiFor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("{"))
	})
	if err := half.do(t.Context(), call{method: "POST", path: "/", into: new(any)}); !errors.As(err, &lost) {
		t.Errorf("half an answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cut.do(ctx, call{method: "PUT", path: "/"}); errors.As(err, &lost) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999999": 0,
		"Wed, 25 Nov 2026 12:00:30 GMT": 30 * time.Second, "Wed, 25 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
	var waits []time.Duration
	a, _ := apiFor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	a.pause = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	if err := a.do(t.Context(), call{method: "PUT", path: "/"}); !errors.Is(err, ErrTransient) || len(waits) != maxRepeats-1 || waits[0] < 7*time.Second {
		t.Errorf("%v after waits of %v", err, waits)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pages []page
		ok    bool
	}{
		"one": {[]page{{"", "a"}}, true}, "two": {[]page{{"2", "a"}, {"", "b"}}, true}, "none": {[]page{{"", ""}}, true},
		"same number": {[]page{{"1", "a"}}, false}, "same content": {[]page{{"2", "a"}, {"3", "a"}}, false},
		"circle": {[]page{{"2", "a"}, {"1", "b"}}, false},
	} {
		n := 0
		err := pages("1", func(string) (page, error) {
			n++
			if n > len(c.pages) {
				t.Fatalf("%s: page %d was asked for", name, n)
			}
			return c.pages[n-1], nil
		})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := 0
	if err := pages("0", func(string) (page, error) { n++; return page{next: fmt.Sprint(n)}, nil }); err == nil || n != maxPages {
		t.Errorf("a listing without end: %v after %d pages", err, n)
	}
}

func TestNextLink(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"": "", `<https://api.example.net/x?page=2>; rel="next"`: "2", `<https://api.example.net/x?page=1>; rel=prev, </x?a=b&page=7>;rel=next`: "7",
		`<https://api.example.net/x?page=9>; rel="last"`: "", `<https://api.example.net/x>; rel="next"`: "error", `<:>; rel="next"`: "error",
	} {
		got, err := nextLink(http.Header{"Link": {link}}, "page")
		if (err != nil) != (want == "error") || err == nil && got != want {
			t.Errorf("%s: %q, %v", link, got, err)
		}
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		all []int
		ids []string
		ok  bool
	}{
		"one page": {[]int{2}, []string{"ab"}, true}, "two": {[]int{3, 3}, []string{"ab", "c"}, true}, "none": {[]int{0}, []string{""}, true},
		"one more": {[]int{3, 4}, []string{"ab", "cd"}, false}, "twice": {[]int{4, 4}, []string{"ab", "bc"}, false}, "too few": {[]int{3, 3}, []string{"ab", ""}, false},
		"too many": {[]int{1}, []string{"ab"}, false},
	} {
		var k counted
		var err error
		last := false
		for i, all := range c.all {
			if last, err = k.page(all, strings.Split(c.ids[i], "")); err != nil {
				break
			}
		}
		if (err == nil && last) != c.ok || err != nil && !errors.Is(err, ErrTransient) {
			t.Errorf("%s: last %v, %v", name, last, err)
		}
	}
}
