package providers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// However a secret is spelled by who sends it back, and in whatever part of an
// answer, it is in no error.
func TestSecretsComeBack(t *testing.T) {
	t.Parallel()
	const secret = `pa/ss+w"o&rd=0123456789`
	spelled := map[string]string{
		"plain": secret, "query": `pa%2Fss%2Bw%22o%26rd%3D0123456789`, "path": `pa%2Fss+w%22o&rd=0123456789`, "lower": `pa%2fss%2bw%22o%26rd%3d0123456789`,
		"JSON": `pa/ss+w\"o\u0026rd=0123456789`, "JSON with slashes": `pa\/ss+w\"o&rd=0123456789`, "HTML": `pa/ss+w&#34;o&amp;rd=0123456789`, "HTML named": `pa/ss+w&quot;o&amp;rd=0123456789`,
	}
	for name, s := range spelled {
		for part, answer := range map[string]string{
			"body":       "HTTP/1.1 400 Bad Request\r\nContent-Length: " + fmt.Sprint(len(s)+4) + "\r\n\r\nbad " + s,
			"status":     "HTTP/1.1 4x0 " + s + "\r\n\r\n",
			"first line": s + "\r\n\r\n",
			"header":     "HTTP/1.1 200 OK\r\nX Token " + s + "\r\n\r\n",
			"length":     "HTTP/1.1 200 OK\r\nContent-Length: " + s + "\r\n\r\n",
			"location":   "HTTP/1.1 302 Found\r\nLocation: http://[" + s + "\r\nContent-Length: 0\r\n\r\n",
			"encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + s + "\r\n\r\n",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPut} {
				a, err := newAPI(apiKind{perSecond: 1000, secrets: []string{secret}}, apiSettings{Endpoint: "http://" + says(t, answer), Timeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				a.pause = func(context.Context, time.Duration) error { return context.Canceled }
				err = a.do(t.Context(), call{method: method, path: "/", into: new(any)})
				if err == nil || strings.Contains(err.Error(), "0123456789") {
					t.Errorf("%s, %s, %s: %v", name, part, method, err)
				}
			}
		}
	}
}

// says listens, and gives each who asks this answer.
func says(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				fmt.Fprint(c, answer)
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// Settings that are refused do not show what stands in them.
func TestSettingsRefusedWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, s := range []apiSettings{
		{Endpoint: "https://user:hunter2@api.example.net/v1"},
		{Endpoint: "http://user:hunter2@api.example.net/%zz"},
		{Endpoint: "https://api.example.net/v1?key=hunter2"},
		{Endpoint: "https://api.example.net/v1#hunter2"},
		{Endpoint: "https://api.example.net", PerSecond: math.NaN()},
		{Endpoint: "https://api.example.net", PerSecond: math.Inf(1)},
	} {
		if _, err := newAPI(apiKind{perSecond: 1}, s); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// A connection that was got, and a time that was over before anybody saw the
// request go: it may have gone. HTTP/2 gives up without waiting for its writer.
func TestTimeOverWhileSending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got, sent bool
		err       error
		lost      bool
	}{
		"no connection":         {false, false, context.DeadlineExceeded, false},
		"connection, time over": {true, false, context.DeadlineExceeded, true},
		"connection, given up":  {true, false, context.Canceled, true},
		"connection broken":     {true, false, errors.New("nothing could be written"), false},
		"sent":                  {true, true, errors.New("connection reset"), true},
	} {
		a, _ := apiFor(t, func(http.ResponseWriter, *http.Request) {})
		a.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			if c.got {
				trace.GotConn(httptrace.GotConnInfo{})
			}
			if c.sent {
				trace.WroteHeaders()
			}
			return nil, c.err
		})
		err := a.do(t.Context(), call{method: http.MethodDelete, path: "/"})
		lost := &unanswered{}
		if errors.As(err, &lost) != c.lost || errors.Is(err, ErrTransient) == c.lost {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An answer of nothing is not one of an empty zone.
func TestNullIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"null", " null\n", ""} {
		a, _ := apiFor(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		var into struct{ Records []string }
		if err := a.do(t.Context(), call{method: http.MethodGet, path: "/", into: &into}); err == nil {
			t.Errorf("%q was taken", body)
		}
	}
}
