package state_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/storetest"
)

func readSnapshots(t *testing.T, path string) []state.Snapshot {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := state.ReadSnapshots(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

func withSnapshots(t *testing.T, s state.Store, path string) *state.Journal {
	t.Helper()
	j, err := state.Open(t.Context(), s, state.Options{Now: clock, Snapshots: path})
	return keep(t, j, err)
}

// threeSnapshots is a text file of three records, of which the second is of an
// RRset that does not exist and the third has a line end in its data.
func threeSnapshots(t *testing.T) (path string, text []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "snapshots.txt")
	s := storetest.NewMemory()
	closeJournal(t, create(t, s, samplePlan(t, 3)))
	j := withSnapshots(t, s.Copy(), path)
	absent := intended(t, "d0001.example.", 1)
	absent.Intent.Snapshot = nil
	absent.Intent.Change.Before = rrset.Set{Name: "d0001.example.", Type: "MX"}
	odd := intended(t, "d0002.example.", 3)
	odd.Intent.Snapshot = &rrset.Set{Name: "d0002.example.", Type: "TXT", TTL: 60, Data: []string{"\"a\n; sha256 00\nb\""}}
	err := j.Append(t.Context(),
		intended(t, "d0000.example.", 1), absent, odd,
		state.Event{Kind: state.Intended, Domain: "d0000.example.", Step: "await-ttl", Intent: &state.Intent{Until: epoch}},
		state.Event{Kind: state.Undoing, Domain: "d0000.example.", Step: "publish", Intent: intended(t, "d0000.example.", 1).Intent},
	)
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	text, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, text
}

func TestSnapshotsAreWritten(t *testing.T) {
	t.Parallel()
	path, text := threeSnapshots(t)
	got := readSnapshots(t, path)
	if len(got) != 3 {
		t.Fatalf("%d snapshots:\n%s", len(got), text)
	}
	first := state.Snapshot{
		Seq: 2, At: epoch, Migration: "gateway", Provider: "campus", Zone: "d0000.example.", Name: "d0000.example.", Type: "MX",
		Domain: "d0000.example.", Step: "publish", Attempt: 1, Set: mx(t, "d0000.example.", 300, "old.example."), After: got[0].After,
	}
	if !reflect.DeepEqual(got[0], first) || !got[0].After.Equal(mx(t, "d0000.example.", 300, "gw.example.")) {
		t.Errorf("first: %+v", got[0])
	}
	if !got[1].Set.Absent() || got[2].Attempt != 3 || !strings.Contains(got[2].Set.Data[0], "\n") {
		t.Errorf("others: %+v", got[1:])
	}
	for _, line := range []string{
		"\nd0000.example.\t300\tIN\tMX\t10 old.example.\n", "\n; no MX at d0001.example.\n",
		"\nd0002.example.\t60\tIN\tTXT\t\"a\\010; sha256 00\\010b\"\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the file has no line %q:\n%s", line, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestAdoptedSnapshots tells that a record was somebody else's, taken over: a
// rollback from the text file must end with it.
func TestAdoptedSnapshots(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snapshots.txt")
	s := storetest.NewMemory()
	closeJournal(t, create(t, s, samplePlan(t, 1)))
	j := withSnapshots(t, s.Copy(), path)
	adopted := intended(t, "d0000.example.", 1)
	adopted.Intent.Base = true
	if err := j.Append(t.Context(), adopted); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if got := readSnapshots(t, path); len(got) != 1 || !got[0].Base {
		t.Errorf("%+v", got)
	}
}

// TestSnapshotsHaveTheWait: how long what builds on a companion waits is in the text
// file, which may be all that is left.
func TestSnapshotsHaveTheWait(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snapshots.txt")
	s := storetest.NewMemory()
	closeJournal(t, create(t, s, samplePlan(t, 1)))
	j := withSnapshots(t, s.Copy(), path)
	companion := intended(t, "d0000.example.", 1)
	companion.Intent.Rest = 48 * time.Hour
	if err := j.Append(t.Context(), companion); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if got := readSnapshots(t, path); len(got) != 1 || got[0].Rest != 48*time.Hour {
		t.Errorf("%+v", got)
	}
}

// TestTornSnapshots cuts the file at every byte, as a crash can: the whole
// records are read, and the next process goes on after them.
func TestTornSnapshots(t *testing.T) {
	t.Parallel()
	path, text := threeSnapshots(t)
	s := storetest.NewMemory()
	closeJournal(t, create(t, s, samplePlan(t, 3)))
	ends := []int{0} // of records
	for i := range text {
		if i > 0 && bytes.HasPrefix(text[i:], []byte("\n; snapshot ")) {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(text))
	for cut := 0; cut <= len(text); cut++ {
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= cut {
			whole++
		}
		if got, err := state.ReadSnapshots(bytes.NewReader(text[:cut])); err != nil || len(got) != whole {
			t.Fatalf("cut at %d: %d snapshots, %v; want %d", cut, len(got), err, whole)
		}
		last := slices.Contains(ends, cut+1) // only the line's end is missing, and mending adds it
		if cut%17 != 0 && !last {
			continue
		}
		if last {
			whole++
		}
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := withSnapshots(t, s.Copy(), path)
		if err := j.Append(t.Context(), intended(t, "d0001.example.", 9)); err != nil {
			t.Fatal(err)
		}
		closeJournal(t, j)
		got := readSnapshots(t, path)
		if len(got) != whole+1 || got[whole].Attempt != 9 {
			t.Fatalf("cut at %d and gone on: %d snapshots, want %d", cut, len(got), whole+1)
		}
	}
}

func TestDamagedSnapshotsAreTold(t *testing.T) {
	t.Parallel()
	_, text := threeSnapshots(t)
	lines := strings.SplitAfter(string(text), "\n")
	for name, c := range map[string]struct {
		text  string
		whole int
	}{
		"a TTL was changed":       {strings.Replace(string(text), "\t300\t", "\t301\t", 1), 2},
		"the JSON was changed":    {strings.Replace(string(text), `"attempt":3`, `"attempt":4`, 1), 2},
		"a hash line was removed": {strings.Join(slices.Delete(slices.Clone(lines), 2, 3), ""), 2},
		"a stray line":            {lines[0] + lines[1] + lines[2] + "hello\n" + strings.Join(lines[3:], ""), 3},
		"no such file":            {"example. 300 IN MX 10 a.\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := state.ReadSnapshots(strings.NewReader(c.text))
			if !errors.Is(err, state.ErrBroken) || !strings.Contains(err.Error(), "line ") || len(got) != c.whole {
				t.Errorf("%d snapshots, %v; want %d and an error", len(got), err, c.whole)
			}
		})
	}
}

func TestSnapshotsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	j, err := state.Create(t.Context(), s, samplePlan(t, 2), state.Options{Snapshots: "/dev/full"})
	if err == nil {
		j = keep(t, j, err)
		err = j.Append(t.Context(), intended(t, "d0000.example.", 1))
		if !errors.Is(err, state.ErrDead) {
			t.Errorf("an intent without its snapshot was journaled: %v", err)
		}
		if n := j.Status().Seq; n != 1 {
			t.Errorf("the status shows event %d", n)
		}
		return
	}
	if !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "none", "file")
	if _, err := state.Open(t.Context(), s.Copy(), state.Options{Snapshots: bad}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

func FuzzSnapshots(f *testing.F) {
	f.Add([]byte("; snapshot {\"seq\":1}\n; no  at \n; sha256 00\n"))
	f.Add([]byte("; snapshot \n; torn\n"))
	f.Add([]byte("hello\n; torn\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := state.ReadSnapshots(bytes.NewReader(text))
		if err != nil && !errors.Is(err, state.ErrBroken) {
			t.Errorf("an error of another kind: %v", err)
		}
		more, _ := state.ReadSnapshots(bytes.NewReader(append(bytes.Clone(text), "\n; torn\n"...)))
		if len(more) < len(got) {
			t.Errorf("%d snapshots, and %d once the tail is mended", len(got), len(more))
		}
	})
}
