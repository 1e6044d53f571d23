package providers

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcutover/secret"
)

func TestSettings(t *testing.T) {
	t.Setenv("MXCUTOVER_TEST_KEY", testSecret)
	t.Setenv("MXCUTOVER_TEST_BAD", "hunter2-not-base64")
	good := rfc2136Settings{
		Server: "192.0.2.53:53", KeyName: "k", KeyAlg: "hmac-sha512", Key: secret.Ref{Env: "MXCUTOVER_TEST_KEY"},
		Timeout: time.Second, MaxRecords: 1,
	}
	for name, c := range map[string]struct {
		change func(*rfc2136Settings)
		says   string
	}{
		"good":      {func(*rfc2136Settings) {}, ""},
		"no port":   {func(s *rfc2136Settings) { s.Server = "192.0.2.53" }, "address and a port"},
		"md5":       {func(s *rfc2136Settings) { s.KeyAlg = "hmac-md5" }, "too weak"},
		"algorithm": {func(s *rfc2136Settings) { s.KeyAlg = "x" }, "hmac-sha256"},
		"key name":  {func(s *rfc2136Settings) { s.KeyName = "a..b" }, "key_name"},
		"unset":     {func(s *rfc2136Settings) { s.Key.Env = "MXCUTOVER_TEST_NONE" }, "not set"},
		"base64":    {func(s *rfc2136Settings) { s.Key.Env = "MXCUTOVER_TEST_BAD" }, "base64"},
		"timeout":   {func(s *rfc2136Settings) { s.Timeout = -1 }, "timeout"},
		"records":   {func(s *rfc2136Settings) { s.MaxRecords = 0 }, "max_records"},
		"no key":    {func(s *rfc2136Settings) { s.KeyName = "" }, "key_name: is missing"},
		"no secret": {func(s *rfc2136Settings) { s.Key = secret.Ref{} }, "key:"},
		"both":      {func(s *rfc2136Settings) { s.Unsigned = true }, "there is a key as well"},
		"unsigned": {func(s *rfc2136Settings) {
			*s = rfc2136Settings{Server: s.Server, Timeout: s.Timeout, MaxRecords: 1, Unsigned: true}
		}, ""},
	} {
		_, err := Open("rfc2136", func(into any) error {
			s := good
			c.change(&s)
			*into.(*rfc2136Settings) = s
			return nil
		})
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	wrong := errors.New("wrong")
	if _, err := Open("rfc2136", func(any) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("a failed decoding: %v", err)
	}
	if _, err := Open("carrier-pigeon", nil); err == nil || !strings.Contains(err.Error(), "rfc2136") {
		t.Errorf("an unknown kind: %v", err)
	}
}

// The text for people names every key, a kind's mode is what the provider can, and
// no secret is in a key's text.
func TestKindsAreDocumented(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for _, k := range Kinds() {
		_, err := Open(k.Kind, func(into any) error {
			for _, key := range settingsOf(reflect.TypeOf(into).Elem()) {
				if !strings.Contains(k.Settings, "  "+key+" ") {
					t.Errorf("%s: %s is not documented", k.Kind, key)
				}
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", k.Kind, err)
		}
		if k.Title == "" || k.Example == "" || k.Proven == "" || !strings.HasPrefix(k.Docs, "https://") {
			t.Errorf("%s is not documented: %+v", k.Kind, k)
		}
	}
	key := must(newTSIGKey("k.example", "hmac-sha256", testSecret))
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%#v", key), fmt.Sprintf("%+v", key)} {
		if text != "k.example" {
			t.Errorf("a key shows as %q", text)
		}
	}
}

// settingsOf lists the keys of a struct of settings, those of inlined ones too.
func settingsOf(typ reflect.Type) []string {
	var out []string
	for f := range typ.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" {
			out = append(out, settingsOf(f.Type)...)
			continue
		}
		out = append(out, key)
	}
	return out
}
