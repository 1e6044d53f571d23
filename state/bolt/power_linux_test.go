package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// powerScript begins a journal, opens it again, and has many append to it. It
// says what was answered.
func powerScript(path string) error  { return useJournal(path, func(*bolt.Store) {}) }
func noSyncScript(path string) error { return useJournal(path, (*bolt.Store).NoSync) }

func useJournal(path string, spoil func(*bolt.Store)) error {
	for round := range 3 {
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			return err
		}
		spoil(s)
		j, err := begin(s, path, round == 0)
		if err != nil {
			return err
		}
		fmt.Println("ok begun")
		err = appendAll(j, round)
		if err == nil && round == 1 {
			err = errors.Join(s.Reserve(context.Background(), 20<<10), appendAll(j, 10))
		}
		if err := errors.Join(err, j.Close(), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

func begin(s state.Store, path string, fresh bool) (*state.Journal, error) {
	opt := state.Options{Snapshots: path + ".txt"}
	if !fresh {
		return state.Open(context.Background(), s, opt)
	}
	p, err := plan.Make(plan.Inventory{}, plan.Settings{Migration: "test"})
	if err != nil {
		return nil, err
	}
	return state.Create(context.Background(), s, p, opt)
}

// appendAll appends pairs of events from some goroutines at a time, and a
// decision.
func appendAll(j *state.Journal, round int) error {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() {
			for i := range 2 {
				n := round*1000 + w*100 + i
				if err := appendPair(j, n); err != nil {
					errs[w] = err
					return
				}
				fmt.Println("ok", stepEvent(n).Domain)
			}
		})
	}
	wg.Wait()
	err := j.Decide(context.Background(), state.Decision{Verb: state.Hold, Target: state.All, By: fmt.Sprint("decided", round)})
	if err == nil {
		fmt.Printf("ok decided%d\n", round)
	}
	return errors.Join(errors.Join(errs...), err)
}

// appendPair appends a step's intent and its end, which only a batch that is
// torn would part.
func appendPair(j *state.Journal, n int) error {
	e := stepEvent(n)
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for range 40 + n%7*40 {
		e.Reason += fmt.Sprintf("%08x", random.Uint32())
	}
	return j.Append(context.Background(), e, state.Event{Kind: state.Observed, Domain: e.Domain, Step: e.Step})
}

// A disk is a file as a lost power may leave it: what was synced is there, and
// of what was done since, anything.
type disk struct {
	path    string
	synced  []byte
	pending []call
	size    int64 // if all is done
	made    bool
	named   bool // its folder was synced since it was made
}

func (d *disk) do(c call) {
	switch {
	case c.nr == unix.SYS_OPENAT && c.file == d.path:
		d.made = true
	case c.sync() && c.file == filepath.Dir(d.path):
		d.named = d.made
	case c.file != d.path:
	case c.sync():
		for _, p := range d.pending {
			d.synced = apply(d.synced, p, nil)
		}
		d.pending = nil
	default:
		if c.nr == unix.SYS_WRITE { // it is opened to append
			c.at = d.size
		}
		d.size = max(d.size, c.at+int64(len(c.data)))
		d.pending = append(d.pending, c)
	}
}

// apply does a call to a file's content; with random, a write is torn: some of
// its sectors are not written.
func apply(to []byte, c call, random *rand.Rand) []byte {
	if c.nr == unix.SYS_FTRUNCATE {
		return grown(to, int(c.at))[:c.at]
	}
	for at, data := int(c.at), c.data; len(data) > 0; {
		n := min(512-at%512, len(data))
		if random == nil || random.IntN(2) == 0 {
			to = grown(to, at+n)
			copy(to[at:], data[:n])
		}
		at, data = at+n, data[n:]
	}
	return to
}

func grown(b []byte, size int) []byte { return append(b, make([]byte, max(0, size-len(b)))...) }

// after gives one content of the file after the power is lost: the 0th has
// nothing of what was not synced, the 1st all.
func (d *disk) after(kind int, random *rand.Rand) (content []byte, exists bool) {
	content = bytes.Clone(d.synced)
	pending := slices.Clone(d.pending)
	if kind > 1 {
		random.Shuffle(len(pending), func(i, k int) { pending[i], pending[k] = pending[k], pending[i] })
	}
	for _, p := range pending {
		switch how := random.IntN(3); {
		case kind == 1 || kind > 1 && how == 0:
			content = apply(content, p, nil)
		case kind > 1 && how == 1:
			content = apply(content, p, random)
		}
	}
	return content, d.named || kind == 1 || kind > 1 && random.IntN(2) == 0
}

// losePower has the power lost before each sync of a record, and at its end,
// some kinds of images each time, and gives what is wrong with any, and if enough
// tells so, stops.
func losePower(t *testing.T, path string, calls []call, kinds int, enough func(wrong string) bool) (wrong []string, images int) {
	random := rand.New(rand.NewPCG(7, 7))
	journal, text := &disk{path: path}, &disk{path: path + ".txt"}
	var answered []string
	dir := t.TempDir()
	look := func(at int) {
		for kind := range kinds {
			if kind > 1 && len(journal.pending)+len(text.pending) == 0 && journal.named {
				break
			}
			images++
			p := filepath.Join(dir, fmt.Sprint(images), "journal.db")
			if err := errors.Join(os.Mkdir(filepath.Dir(p), 0o700), writeImage(p, journal, kind, random), writeImage(p+".txt", text, kind, random)); err != nil {
				t.Fatal(err)
			}
			if err := checkImage(t, p, answered); err != nil {
				wrong = append(wrong, fmt.Sprintf("power lost before call %d (kind %d, %d answered): %v", at, kind, len(answered), err))
			}
			if err := os.RemoveAll(filepath.Dir(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range calls {
		if c.sync() {
			look(i)
		}
		if slices.ContainsFunc(wrong, enough) {
			return wrong, images
		}
		if said, ok := c.said(); ok {
			answered = append(answered, strings.TrimPrefix(said, "ok "))
		}
		journal.do(c)
		text.do(c)
	}
	look(len(calls))
	return wrong, images
}

func writeImage(path string, d *disk, kind int, random *rand.Rand) error {
	content, exists := d.after(kind, random)
	if !exists || !d.made {
		return nil
	}
	return os.WriteFile(path, content, 0o600)
}

// checkImage opens a journal after the power was lost: what was answered is
// there, nothing is there by half, and it can be gone on with.
func checkImage(t *testing.T, path string, answered []string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	j, err := begin(s, path, false)
	if errors.Is(err, state.ErrNone) && len(answered) == 0 {
		j, err = begin(s, path, true)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	err = errors.Join(checkEvents(t.Context(), j, path, answered), appendPair(j, 99))
	if err := errors.Join(err, j.Close(), s.Close()); err != nil {
		return err
	}
	if s, err = bolt.Open(path, bolt.Options{ReadOnly: true}); err != nil {
		return err
	}
	if j, err = begin(s, path, false); err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(checkEvents(t.Context(), j, path, append(answered, stepEvent(99).Domain)), j.Close(), s.Close())
}

func checkEvents(ctx context.Context, j *state.Journal, path string, answered []string) error {
	text, err := os.ReadFile(path + ".txt")
	if err != nil {
		return err
	}
	// Records that were not synced may be damaged: their steps were never begun.
	snapshots, damage := state.ReadSnapshots(bytes.NewReader(text))
	kept := map[string]bool{}
	for _, s := range snapshots {
		kept[s.Domain] = true
	}
	found := map[string]int{}
	for e, err := range j.Events(ctx, 0) {
		switch {
		case err != nil:
			return err
		case e.Kind == state.Begun:
			found["begun"]++
		case e.Kind == state.Decided:
			found[e.Decision.By]++
		default:
			found[e.Domain]++
		}
		if e.Kind == state.Intended && !kept[e.Domain] {
			return fmt.Errorf("event %d has no snapshot in the text (%w)", e.Seq, damage)
		}
	}
	for name, n := range found {
		if strings.HasSuffix(name, ".example.") && n != 2 {
			return fmt.Errorf("%s: %d events of 2", name, n)
		}
	}
	for _, name := range answered {
		if found[name] == 0 {
			return fmt.Errorf("%s was answered and is not there", name)
		}
	}
	return nil
}

func record(t *testing.T, script string) (path string, calls []call) {
	t.Helper()
	path = newPath(t)
	return path, watch(t, script, path, func(*call) syscall.Errno { return 0 })
}

// TestPowerLoss writes a journal and loses the power at each sync. What is
// observed: all calls that change or sync the journal and the snapshots' text,
// as the kernel got them. What is assumed of the disk: that a sync which has
// returned keeps what was written before it, that sectors of 512 bytes are
// written whole, and no more: not the order, nor that any of the rest is there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	path, calls := record(t, "power")
	for _, p := range []string{path, path + ".txt"} { // or the record is not whole
		d := &disk{path: p}
		for _, c := range calls {
			d.do(c)
		}
		all, _ := d.after(1, rand.New(rand.NewPCG(1, 1)))
		if have, err := os.ReadFile(p); err != nil || !bytes.Equal(have, all) || len(d.synced) == 0 {
			t.Fatalf("%s: the record gives %d bytes, and the file has %d (%v)", p, len(all), len(have), err)
		}
	}
	wrong, images := losePower(t, path, calls, 4, func(string) bool { return false })
	if images < 200 {
		t.Errorf("only %d images: the record has too few syncs", images)
	}
	t.Logf("%d calls, %d images", len(calls), images)
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestPowerLossCatches takes syncs away, and wants the loss to be seen.
func TestPowerLossCatches(t *testing.T) {
	t.Parallel()
	path, calls := record(t, "power")
	without := func(drop func(c, before call) bool) []call {
		var kept []call
		var before call
		for _, c := range calls {
			if !drop(c, before) {
				kept = append(kept, c)
			}
			if c.file == path {
				before = c
			}
		}
		return kept
	}
	for name, drop := range map[string]func(c, before call) bool{
		"no sync of the journal":   func(c, _ call) bool { return c.sync() && c.file == path },
		"no sync of the text":      func(c, _ call) bool { return c.sync() && c.file == path+".txt" },
		"no sync of the folder":    func(c, _ call) bool { return c.sync() && c.file == filepath.Dir(path) },
		"no sync before the heads": func(c, b call) bool { return c.sync() && c.file == path && b.at >= 2*int64(os.Getpagesize()) },
		"no sync of the heads":     func(c, b call) bool { return c.sync() && c.file == path && b.at < 2*int64(os.Getpagesize()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong, images := losePower(t, path, append(without(drop), call{nr: unix.SYS_FSYNC}), 3, func(string) bool { return true })
			if len(wrong) == 0 {
				t.Errorf("%d images, and no loss was seen", images)
			}
		})
	}
}

// TestPowerLossCatchesNoSync has a store that does not sync when it commits.
func TestPowerLossCatchesNoSync(t *testing.T) {
	t.Parallel()
	path, calls := record(t, "nosync")
	lost := func(wrong string) bool { return strings.Contains(wrong, "was answered and is not there") }
	if wrong, images := losePower(t, path, calls, 3, lost); !slices.ContainsFunc(wrong, lost) {
		t.Errorf("%d images, and no loss of what was answered was seen: %v", images, wrong)
	}
}
