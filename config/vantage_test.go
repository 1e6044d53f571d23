package config

import "testing"

func TestSSHHosts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]SSHHost{
		"h":                     {Host: "h"},
		"u@far.example":         {User: "u", Host: "far.example"},
		"u@192.0.2.1:2222":      {User: "u", Host: "192.0.2.1", Port: 2222},
		"u@[2001:db8::1]":       {User: "u", Host: "2001:db8::1"},
		"u@[2001:db8::1]:22":    {User: "u", Host: "2001:db8::1", Port: 22},
		`DOMAIN\u@Far.Example`:  {User: `DOMAIN\u`, Host: "Far.Example"},
		"a@b@jump.example:22":   {User: "a@b", Host: "jump.example", Port: 22},
		"":                      {},
		"@h":                    {},
		"u@":                    {},
		"-oProxyCommand=x@h":    {},
		"u@-oProxyCommand":      {},
		"u@h:0":                 {},
		"u@h:022":               {},
		"u@h:65536":             {},
		"u@[::1":                {},
		"u@[192.0.2.1]":         {},
		"u@[::1]x":              {},
		"u@2001:db8::1":         {},
		"u@a b":                 {},
		"u@h/x":                 {},
		"u;rm@h":                {},
		"u@fe80::1%eth0":        {},
		"u@far.example:22:2222": {},
	} {
		var got SSHHost
		err := got.UnmarshalText([]byte(text))
		if got != want || (err == nil) != (want != SSHHost{}) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func FuzzSSHHost(f *testing.F) {
	for _, s := range []string{"u@h:22", "u@[::1]:22", "@", "[", "u@h:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseSSH(s)
		if err != nil {
			return
		}
		again, err := parseSSH(h.String())
		if err != nil || again != h {
			t.Errorf("%q is %+v, written %q, and read again %+v, %v", s, h, h, again, err)
		}
		if h.Host == "" || h.Host[0] == '-' || h.User != "" && h.User[0] == '-' {
			t.Errorf("%q: an option for a program: %+v", s, h)
		}
	})
}
