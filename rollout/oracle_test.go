package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// An oracle keeps account of what may never happen. It knows the world as it
// truly is, true time too, and of the journal only its bytes.
type oracle struct {
	violations []string
	preflight  map[string]time.Time // when a domain's way was last proven
	returned   map[string]bool      // a probe came back by the old path
	written    map[string]int       // by domain and change: how often it took effect
	intents    map[string]int       // by domain and change: how often it was journaled
	forced     map[string]bool      // a person let a foreign record be overwritten
	waves      map[string]string    // by wave: "wave-started", "wave-held" or "wave-live"
	events     uint64
}

func newOracle() oracle {
	return oracle{
		preflight: map[string]time.Time{}, returned: map[string]bool{}, written: map[string]int{}, intents: map[string]int{},
		forced: map[string]bool{}, waves: map[string]string{},
	}
}

func (o *oracle) blame(promise, format string, args ...any) {
	o.violations = append(o.violations, promise+": "+fmt.Sprintf(format, args...))
}

// looked is what the oracle takes from an event: its own reading of the JSON.
type looked struct {
	Seq                      uint64
	Kind, Wave, Domain, Step string
	Intent                   *struct {
		Snapshot *rrset.Set
		Served   map[string]rrset.Set
		Change   *rrset.Change
	}
}

// commit reads a batch as it goes to the disk.
func (o *oracle) commit(w *sim, value []byte) {
	batch, err := batchOf(value)
	if err != nil {
		o.blame("P5", "a batch that cannot be read: %v", err)
		return
	}
	for _, e := range batch {
		if e.Seq != o.events+1 {
			o.blame("P5", "event %d comes after %d", e.Seq, o.events)
		}
		o.events = e.Seq
		w.note("event %d %s %s%s %s", e.Seq, e.Kind, e.Domain, e.Wave, e.Step)
		o.event(e)
	}
}

// batchOf reads the events of a commit.
func batchOf(value []byte) ([]looked, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	text, err := z.DecodeAll(value[1:], nil)
	if err != nil {
		return nil, err
	}
	var batch struct{ Events []looked }
	err = json.Unmarshal(text, &batch)
	return batch.Events, err
}

func (o *oracle) event(e looked) {
	switch e.Kind {
	case "wave-started", "wave-held", "wave-live":
		o.waves[e.Wave] = e.Kind
	case "intended":
		if e.Intent == nil || e.Intent.Change == nil {
			return
		}
		if e.Intent.Snapshot == nil || len(e.Intent.Served) != 2 {
			o.blame("P1", "%s: %s is intended without its snapshot", e.Domain, e.Step)
			return
		}
		for server, s := range e.Intent.Served {
			if !s.Equal(*e.Intent.Snapshot) {
				o.blame("P1", "%s: %s is intended though %s disagrees", e.Domain, e.Step, server)
			}
		}
		o.intents[key(e.Intent.Change.After.Name, *e.Intent.Snapshot, e.Intent.Change.After)]++
	}
}

func key(domain string, from, to rrset.Set) string {
	return domain + "|" + from.Hash() + "|" + to.Hash()
}

// write judges a write of the engine's that is about to take effect.
func (o *oracle) write(w *sim, c rrset.Change) {
	domain := c.After.Name
	r := w.records[domain]
	now := r.now()
	if now.foreign && !o.forced[domain] {
		o.blame("P2", "%s: somebody else's record is overwritten: %v", domain, now.set)
	}
	if o.intents[key(domain, now.set, c.After)]+o.intents[key(domain, c.After, now.set)] == 0 && !o.forced[domain] {
		o.blame("P1", "%s: %v was written over %v, and no journal knows of it", domain, c.After.Data, now.set.Data)
	}
	o.written[key(domain, now.set, c.After)]++
	if r.of != "" {
		o.companion(w, r, c)
		return
	}
	switch was, will := leads(now.set), leads(c.After); {
	case was && !will:
		o.publish(w, r)
		o.ready(w, r)
	case !was && will && w.isClosed():
		o.blame("P8", "%s: its MX is pointed back to a closed server", domain)
	}
}

// publish judges the moment at which a domain's MX moves.
func (o *oracle) publish(w *sim, r *record) {
	if age := time.Since(o.preflight[r.domain]); age > time.Hour+time.Minute {
		o.blame("P3", "%s is published %v after its preflight", r.domain, age)
	}
	// A provider that will not lower a TTL is waited for after the publish.
	for _, v := range r.past[:len(r.past)-1] {
		if ends := o.ends(r, v).Add(r.lag + ttlOf(v.set)); !v.set.Absent() && ttlOf(v.set) > lowTTL && time.Now().Before(ends) {
			o.blame("TTL", "%s is published %v before caches let go of its high TTL", r.domain, time.Until(ends))
		}
	}
	mine := 0
	for i, wave := range w.plan.Waves {
		for _, c := range wave.Cutovers {
			if c.Domain == r.domain {
				mine = i
			}
		}
	}
	for _, wave := range w.plan.Waves[:mine] {
		if o.waves[wave.Name] != "wave-live" {
			o.blame("P4", "%s is published while wave %s is %q", r.domain, wave.Name, o.waves[wave.Name])
		}
	}
}

// companion judges a write of a companion: late ones and undos only after what is
// built upon them has gone.
func (o *oracle) companion(w *sim, r *record, c rrset.Change) {
	mx := w.records[r.of]
	if c.After.Equal(r.past[0].set) {
		if !leads(mx.now().set) {
			o.blame("companion", "%s goes back while the MX of %s leads to the gateway", r.domain, r.of)
		}
		if last := o.lastCache(mx); time.Now().Before(last) {
			o.blame("companion", "%s goes back %v before caches let the gateway's MX go", r.domain, time.Until(last))
		}
		if r.domain == firstOf(r.of) {
			second := w.records[secondOf(r.of)]
			if !slices.ContainsFunc(second.past, func(v version) bool { // as it was, or as somebody wrote it and a person kept it
				return (v.foreign || v.at.Equal(second.past[0].at)) && v.set.Equal(second.now().set)
			}) {
				o.blame("companion", "%s goes back before %s", r.domain, second.domain)
			}
		}
		return
	}
	if r.domain == lateOf(r.of) && mx.now().set.TTL != 3600 {
		o.blame("companion", "%s is written before %s has settled", r.domain, r.of)
	}
}

// ready judges, as a MX moves, its early companions: all servers have them, and
// caches have let go of what was before.
func (o *oracle) ready(w *sim, mx *record) {
	if w.records[firstOf(mx.domain)] == nil {
		return
	}
	for _, name := range []string{firstOf(mx.domain), secondOf(mx.domain)} {
		r := w.records[name]
		if len(r.past) < 2 || r.now().set.Equal(r.past[0].set) || !r.seen(r.lag).Equal(r.now().set) {
			o.blame("companion", "%s is published before %s is served by all", mx.domain, name)
			continue
		}
		if ends := r.now().at.Add(r.lag + max(ttlOf(r.past[0].set), companionWait)); time.Now().Before(ends) {
			o.blame("companion", "%s is published %v before the wait for %s is over", mx.domain, time.Until(ends), name)
		}
	}
}

// ends is when a version was replaced; now, if it is in force.
func (o *oracle) ends(r *record, v version) time.Time {
	for i, x := range r.past[:len(r.past)-1] {
		if x.at.Equal(v.at) {
			return r.past[i+1].at
		}
	}
	return time.Now()
}

// close judges the moment at which the old server closes.
func (o *oracle) close(w *sim) {
	for _, r := range w.records {
		if r.of != "" {
			continue
		}
		for _, v := range r.past {
			if !leads(v.set) {
				continue
			}
			gone := o.ends(r, v).Add(r.lag + ttlOf(v.set))
			if time.Now().Before(gone.Add(isolateAfter)) {
				o.blame("P7", "%s led to the old server until %v, and that is closed %v later", r.domain, gone, time.Since(gone))
				break
			}
		}
	}
}

// end judges the world when all is over: wave-2 was rolled back, all else moved.
func (o *oracle) end(w *sim, attempts map[string]int, told map[string]time.Time) {
	if w.isClosed() {
		o.blame("P8", "the old server is closed at the end")
	}
	for _, wave := range w.plan.Waves {
		for _, c := range wave.Cutovers {
			r := w.records[c.Domain]
			want := c.After().WithTTL(3600)
			if c.Before().Absent() {
				want = c.After()
			}
			if wave.Name == undone {
				want = r.past[0].set
				if c.Domain == raisedDomain {
					want = r.past[1].set
				}
			}
			for _, got := range []rrset.Set{r.now().set, r.seen(r.lag)} {
				if !got.Equal(want) {
					o.blame("P6", "%s ends as %v TTL %d, want %v TTL %d", c.Domain, got.Data, got.TTL, want.Data, want.TTL)
				}
			}
			if last := o.lastCache(r); wave.Name == undone && w.jump == 0 && told[c.Domain].Before(last.Add(-time.Second)) {
				o.blame("TTL", "%s: a cache may have the gateway's MX until %v, and %v was told", c.Domain, last, told[c.Domain])
			}
			if wave.Name == undone && !o.returned[c.Domain] {
				o.blame("P6", "%s: no probe came back by the old path", c.Domain)
			}
			o.twice(c, attempts)
			o.others(w, c, attempts)
		}
	}
}

// others judges a domain's companions at the end.
func (o *oracle) others(w *sim, c plan.Cutover, attempts map[string]int) {
	for _, s := range c.Companions() {
		r, want := w.records[s.Change.After.Name], s.Change.After
		if c.Wave == undone {
			want = r.past[0].set
		}
		for _, got := range []rrset.Set{r.now().set, r.seen(r.lag)} {
			if !got.Equal(want) {
				o.blame("companion", "%s ends as %v TTL %d, want %v TTL %d", r.domain, got.Data, got.TTL, want.Data, want.TTL)
			}
		}
		o.count(r.domain, attempts[c.Domain])
	}
}

// lastCache is until when a cache may answer the gateway's MX.
func (o *oracle) lastCache(r *record) (last time.Time) {
	for _, v := range r.past {
		if ends := o.ends(r, v).Add(r.lag + ttlOf(v.set)); !leads(v.set) && ends.After(last) {
			last = ends
		}
	}
	return last
}

// twice counts each change of a domain: once for each attempt that a person
// asked for.
func (o *oracle) twice(c plan.Cutover, attempts map[string]int) {
	o.count(c.Domain, attempts[c.Domain])
}

func (o *oracle) count(name string, attempts int) {
	total := 0
	for k, n := range o.written {
		if strings.HasPrefix(k, name+"|") {
			total += n
			if n > max(attempts, 1) {
				o.blame("P5", "%s: one change was written %d times in %d attempts", name, n, attempts)
			}
		}
	}
	if total == 0 {
		o.blame("P5", "%s was never written", name)
	}
}

const (
	undone       = "wave-2" // is rolled back at the end
	lowTTL       = 5 * time.Minute
	isolateAfter = 24 * time.Hour
)
