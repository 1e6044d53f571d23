package providers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// A fileSite is a folder with one master file, edited by hand by somebody else,
// and checked and reloaded by scripts that can be made to fail: a check is an odd
// write, a reload an even one.
type fileSite struct {
	dir, path string
	mu        sync.Mutex
	edits     map[string][]fileMoment // by name and type: what somebody else made of them
	doing     sync.WaitGroup
}

// A fileMoment is an RRset right after so many calls of the scripts.
type fileMoment struct {
	calls int
	set   rrset.Set
}

// fileScript counts its calls, keeps what it is shown, and fails or waits as told.
const fileScript = `cd "$(dirname "$0")"
n=$(($(cat count) + 1)); echo $n >count
if [ -e "ask.$n" ]; then mv "ask.$n" "asked.$n"; echo >>met; while [ -e "asked.$n" ]; do sleep 0.01; done; fi
if [ -e "fail.$n" ]; then rm "fail.$n"; echo >>met; echo "it does not please me" >&2; exit 1; fi
cp "$1" "past.$(printf %06d $n)"
`

func newFileSite(t testing.TB) (*fileSite, *conformance.Bed) {
	dir := t.TempDir()
	s := &fileSite{dir: dir, path: filepath.Join(dir, "db.example.test"), edits: map[string][]fileMoment{}}
	t.Cleanup(s.doing.Wait)
	s.put(t, "script", fileScript)
	s.put(t, "count", "0")
	s.put(t, "db.example.test", "$TTL 1h ; one hour\n@\tIN SOA\tns1.example.net. hostmaster.example.net. (\n\t\t1 ; serial\n\t\t3600 600 86400 300 )\n\tNS\tns1.example.net.\n")
	return s, &conformance.Bed{
		Kind: "zonefile", Zone: "example.test.",
		Settings: fmt.Sprintf("file: %q\ncheck: [/bin/sh, %q, \"{file}\"]\nreload: [/bin/sh, %q, \"{file}\"]\n", filepath.Join(dir, "db.{zone}"), filepath.Join(dir, "script"), filepath.Join(dir, "script")),
		Truth:    func(_ context.Context, name, typ string) (rrset.Set, error) { return setIn(s.path, name, typ) },
		Edit:     func(_ context.Context, e rrset.Set) error { return s.edit(e) },
		Seen:     s.seen, Faults: s,
	}
}

func (s *fileSite) put(t testing.TB, name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// recordsIn are a file's records, by a parser that is not ours.
func recordsIn(path string) (out []dns.RR, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := dns.NewZoneParser(f, "example.test.", path)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		out = append(out, rr)
	}
	return out, p.Err()
}

func isOf(rr dns.RR, name, typ string) bool {
	owner, err := rrset.CanonicalName(rr.Header().Name)
	return err == nil && owner == name && dns.TypeToString[rr.Header().Rrtype] == typ
}

func setIn(path, name, typ string) (rrset.Set, error) {
	rrs, err := recordsIn(path)
	var ttl uint32
	var data []string
	for _, rr := range rrs {
		if isOf(rr, name, typ) {
			ttl = max(ttl, rr.Header().Ttl)
			data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	s, serr := rrset.New(name, typ, ttl, data...)
	return s, errors.Join(err, serr)
}

// edit writes the file as a person would who does not care for its looks.
func (s *fileSite) edit(e rrset.Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rrs, err := recordsIn(s.path)
	if err != nil {
		return err
	}
	name, err := rrset.CanonicalName(e.Name)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, rr := range rrs {
		if !isOf(rr, name, e.Type) {
			fmt.Fprintf(&b, "%s ; by hand\n", rr)
		}
	}
	for _, d := range e.Data {
		if e.Type == "MX" && !strings.HasSuffix(d, ".") {
			d += "." // without it a name is relative here
		}
		fmt.Fprintf(&b, "%s\t%d\tIN\t%s\t%s\n", e.Name, e.TTL, e.Type, d)
	}
	if err := errors.Join(os.WriteFile(s.path+"~", []byte(b.String()), 0o600), os.Rename(s.path+"~", s.path)); err != nil {
		return err
	}
	now, err := setIn(s.path, name, e.Type)
	s.edits[name+e.Type] = append(s.edits[name+e.Type], fileMoment{s.count(), now})
	return err
}

// seen are an RRset's states: as the scripts saw the file, and as it was edited.
func (s *fileSite) seen(name, typ string) (out []rrset.Set) {
	s.mu.Lock()
	moments := slices.Clone(s.edits[name+typ])
	s.mu.Unlock()
	for n := range s.count() + 1 {
		if now, err := setIn(filepath.Join(s.dir, fmt.Sprintf("past.%06d", n)), name, typ); err == nil {
			moments = append(moments, fileMoment{n, now})
		}
	}
	slices.SortStableFunc(moments, func(a, b fileMoment) int { return cmp.Compare(a.calls, b.calls) })
	for _, m := range moments {
		if len(out) == 0 && !m.set.Absent() || len(out) > 0 && !out[len(out)-1].Equal(m.set) {
			out = append(out, m.set)
		}
	}
	return out
}

func (s *fileSite) count() int {
	text, _ := os.ReadFile(filepath.Join(s.dir, "count"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// Inject is [conformance.Faults].
func (s *fileSite) Inject(f conformance.Fault) bool {
	n := s.count() + f.Nth
	switch f.Kind {
	case conformance.Broken, conformance.Refused:
		return os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("fail.%d", n)), nil, 0o600) == nil
	case conformance.Between:
		asked := filepath.Join(s.dir, fmt.Sprintf("asked.%d", n))
		s.doing.Go(func() {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if _, err := os.Stat(asked); err == nil {
					f.Do()
					s.mu.Lock() // what it did is seen by who asks for Met
					os.Remove(asked)
					s.mu.Unlock()
					return
				}
				if _, err := os.Stat(s.dir); err != nil {
					return
				}
			}
		})
		return os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("ask.%d", n)), nil, 0o600) == nil
	}
	return false
}

// Met is [conformance.Faults].
func (s *fileSite) Met() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := os.ReadFile(filepath.Join(s.dir, "met"))
	return len(text)
}

// Heal is [conformance.Faults].
func (s *fileSite) Heal() {
	for _, kind := range []string{"ask.*", "asked.*", "fail.*"} {
		left, _ := filepath.Glob(filepath.Join(s.dir, kind))
		for _, path := range left {
			os.Remove(path)
		}
	}
}

func TestConformanceZonefile(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "zonefile", Against: "files",
		Bed: func(t testing.TB) *conformance.Bed { _, b := newFileSite(t); return b },
		Lacking: map[string]string{
			"TTL clamped by the host":                     "a file takes all TTLs",
			"two zones of one name":                       "a file is named for its zone",
			"write applied though it timed out":           "a write to a file has its answer at once",
			"write applied though its answer was cut off": "a write to a file has its answer at once",
			"rate limiting":                               "files have no limits",
			"expired token":                               "files have no token",
		},
		Golden: "testdata/conformance/zonefile.json",
	}.Run(t)
}
