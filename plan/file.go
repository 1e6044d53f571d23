package plan

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"mxcutover/rrset"
)

// fileVersion is the version of plan files that this release writes.
const fileVersion = 1

var (
	// ErrEdited means that a plan file's content does not match its ID.
	ErrEdited = errors.New("the plan was edited: its content does not match its id")
	// ErrFormat means that a file is not a plan file.
	ErrFormat = errors.New("not a plan file")
)

// maxLine bounds one line of a plan file, in bytes.
const maxLine = 1 << 20

type header struct {
	V         int               `json:"v"`
	ID        string            `json:"id"`
	Migration string            `json:"migration"`
	Config    string            `json:"config"`
	Made      time.Time         `json:"made"`
	Fixed     string            `json:"fixed,omitempty"`
	Kinds     map[string]string `json:"kinds,omitempty"`
	Waves     []Wave            `json:"waves"`
	Isolate   []Step            `json:"isolate,omitempty"`
}

type leftLine struct {
	Left *Left `json:"left"`
}

type findingLine struct {
	Finding *Finding `json:"finding"`
}

// Write writes the plan as JSON Lines: a header, then one cutover a line in the
// order of the waves, then one line for each name that is left, and for each
// finding.
func (p Plan) Write(w io.Writer) error {
	return p.write(w, p.ID, p.each())
}

// each walks all cutovers in the order of their waves.
func (p Plan) each() iter.Seq[Cutover] {
	return func(yield func(Cutover) bool) {
		for _, w := range p.Waves {
			for _, c := range w.Cutovers {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// write writes a plan whose cutovers need not be in its waves.
func (p Plan) write(w io.Writer, id string, cutovers iter.Seq[Cutover]) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(header{
		V: fileVersion, ID: id, Migration: p.Migration, Config: p.Config, Made: p.Made,
		Waves: p.Waves, Isolate: p.Isolate, Fixed: p.Fixed, Kinds: p.Kinds,
	})
	for c := range cutovers {
		err = errors.Join(err, e.Encode(c))
	}
	for i := range p.Left {
		err = errors.Join(err, e.Encode(leftLine{Left: &p.Left[i]}))
	}
	for i := range p.Findings {
		err = errors.Join(err, e.Encode(findingLine{Finding: &p.Findings[i]}))
	}
	return errors.Join(err, b.Flush())
}

// Sign gives the plan the ID of what it now says.
func (p Plan) Sign() Plan {
	p.ID = p.hash()
	return p
}

// hash is the plan's ID.
func (p Plan) hash() string { return p.hashOf(p.each()) }

// hashOf is the SHA-256 of a plan's file with an empty ID.
func (p Plan) hashOf(cutovers iter.Seq[Cutover]) string {
	h := sha256.New()
	if err := p.write(h, "", cutovers); err != nil {
		panic(fmt.Sprintf("plan: hash: %v", err)) // only plain data is encoded
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Read reads a plan file and refuses one that was edited ([ErrEdited]) or that
// is none ([ErrFormat]). Errors name the line.
func Read(r io.Reader) (Plan, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	if !lines.Scan() {
		return Plan{}, fmt.Errorf("%w: it is empty%s", ErrFormat, because(lines.Err()))
	}
	p, err := readHeader(lines.Bytes())
	if err != nil {
		return Plan{}, err
	}
	waves := map[string]int{}
	for i, w := range p.Waves {
		waves[w.Name] = i
	}
	seen := map[string]bool{} // domains, and RRsets of companions
	same := newSharing()
	for n := 2; lines.Scan(); n++ {
		if err := p.readLine(lines.Bytes(), waves, seen, same); err != nil {
			return Plan{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if got := p.hash(); got != p.ID {
		return Plan{}, fmt.Errorf("%w (id %.12s, content %.12s); make it anew with: mxcutover plan", ErrEdited, p.ID, got)
	}
	return p, nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func readHeader(line []byte) (Plan, error) {
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return Plan{}, fmt.Errorf("%w: line 1: %w", ErrFormat, err)
	}
	switch {
	case h.V == 0 || h.ID == "":
		return Plan{}, fmt.Errorf("%w: line 1 is no header with v and id", ErrFormat)
	case h.V > fileVersion:
		return Plan{}, fmt.Errorf("%w: version %d, and this mxcutover reads up to %d", ErrFormat, h.V, fileVersion)
	}
	return Plan{ID: h.ID, Migration: h.Migration, Config: h.Config, Made: h.Made, Waves: h.Waves, Isolate: h.Isolate, Fixed: h.Fixed, Kinds: h.Kinds}, nil
}

func (p *Plan) readLine(line []byte, waves map[string]int, seen map[string]bool, same sharing) error {
	if bytes.HasPrefix(line, []byte(`{"left":`)) {
		var l leftLine
		if err := strictJSON(line, &l); err != nil || l.Left == nil {
			return fmt.Errorf("%w: a left name%s", ErrFormat, because(err))
		}
		same.left(l.Left)
		p.Left = append(p.Left, *l.Left)
		return nil
	}
	if bytes.HasPrefix(line, []byte(`{"finding":`)) {
		var l findingLine
		if err := strictJSON(line, &l); err != nil || l.Finding == nil {
			return fmt.Errorf("%w: a finding%s", ErrFormat, because(err))
		}
		p.Findings = append(p.Findings, *l.Finding)
		return nil
	}
	var c Cutover
	if err := strictJSON(line, &c); err != nil {
		return fmt.Errorf("%w: a cutover: %w", ErrFormat, err)
	}
	i, ok := waves[c.Wave]
	if !ok {
		return fmt.Errorf("%w: %.80q is in wave %.80q, which the header does not have", ErrFormat, c.Domain, c.Wave)
	}
	if seen[c.Domain] {
		return fmt.Errorf("%w: %.80q stands twice", ErrFormat, c.Domain)
	}
	seen[c.Domain] = true
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	mine := map[string]bool{}
	for _, s := range c.Companions() {
		k := rrsetKey(*s.Change)
		exact := fmt.Sprint(k, s.Provider, s.Late, s.Change.Before, s.Change.After)
		if seen[k] && !mine[k] && (s.Late || !seen[exact]) {
			return fmt.Errorf("%w: two domains make different things of %.300q", ErrFormat, k)
		}
		seen[k], seen[exact], mine[k] = true, true, true
	}
	same.cutover(&c)
	p.Waves[i].Cutovers = append(p.Waves[i].Cutovers, c)
	return nil
}

// check refuses what no plan of ours holds, so that a forged file cannot lead
// a write elsewhere.
func (c Cutover) check() error {
	ids := map[string]bool{}
	for _, s := range c.Steps {
		if ids[s.ID] || KindOf(s.ID) != s.Kind {
			return fmt.Errorf("%.80q: a step of kind %.40q has the id %.40q, or two have", c.Domain, s.Kind, s.ID)
		}
		ids[s.ID] = true
		if err := s.check(c); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a companion that is none, and anything else at another name.
func (s Step) check(c Cutover) error {
	switch {
	case s.Kind == WriteCompanion && (s.Change == nil || s.Provider == ""):
		return fmt.Errorf("%.80q: step %s has no change, or no provider", c.Domain, s.ID)
	case s.Kind == WriteCompanion:
		return companionChange(*s.Change)
	case s.Provider != "" || s.Wait < 0:
		return fmt.Errorf("%.80q: step %s has a provider of its own, or a negative wait", c.Domain, s.ID)
	case s.Change != nil && (s.Change.After.Name != c.Domain || s.Change.After.Type != "MX"):
		return fmt.Errorf("%.80q: step %s changes something else than its MX", c.Domain, s.ID)
	case s.Change != nil:
		return checkChange(*s.Change)
	}
	return nil
}

func checkChange(c rrset.Change) error {
	if err := c.Check(); err != nil {
		return err
	}
	for _, set := range []rrset.Set{c.Before, c.After} {
		canon, err := rrset.New(set.Name, set.Type, set.TTL, set.Data...)
		if err != nil {
			return err
		}
		if !canon.Equal(set) {
			return fmt.Errorf("%s %s is not canonical", set.Name, set.Type)
		}
	}
	return nil
}

// sameJSON compares as a plan file does.
func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func strictJSON(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
