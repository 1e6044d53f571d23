package providers_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// signed computes the signature of a request by itself, as documented at
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
// and gives the access key, or why it is none.
func (f *route53Fake) signed(r *http.Request, body []byte) (key, why string) {
	m := regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/us-east-1/route53/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`).FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case m == nil || f.keys[m[1]] == "":
		return "", "The security token included in the request is invalid."
	case err != nil || at.Format("20060102") != m[2] || time.Since(at).Abs() > 15*time.Minute:
		return "", "Signature expired"
	case r.Header.Get("X-Amz-Security-Token") != f.token:
		return "", "The security token included in the request is invalid."
	}
	var headers strings.Builder
	names := strings.Split(m[3], ";")
	for _, n := range names {
		v := strings.Join(r.Header.Values(n), ",")
		switch n {
		case "host":
			v = r.Host
		case "content-length":
			v = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", n, strings.TrimSpace(v))
	}
	if !slices.IsSorted(names) || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") || f.token != "" && !slices.Contains(names, "x-amz-security-token") {
		return "", "A header must be signed"
	}
	var query []string
	for k, vs := range r.URL.Query() {
		for _, v := range vs {
			query = append(query, strings.ReplaceAll(url.QueryEscape(k)+"="+url.QueryEscape(v), "+", "%20"))
		}
	}
	slices.Sort(query)
	hash := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	canonical := strings.Join([]string{r.Method, r.URL.Path, strings.Join(query, "&"), headers.String(), m[3], hash(body)}, "\n")
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	k := []byte("AWS4" + f.keys[m[1]])
	for _, s := range []string{m[2], "us-east-1", "route53", "aws4_request"} {
		k = mac(k, s)
	}
	scope := m[2] + "/us-east-1/route53/aws4_request"
	if want := hex.EncodeToString(mac(k, strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hash([]byte(canonical))}, "\n"))); want != m[4] {
		return "", "The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been '" + canonical + "'"
	}
	return m[1], ""
}
