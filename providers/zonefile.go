package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// zonefileAbout is what people are told.
var zonefileAbout = About{
	Title: "Master files (RFC 1035 section 5)",
	Settings: `  file         the zones' master files, "/etc/bind/db.{zone}"; {zone} is the name without its final dot
  files        zone: PATH, for zones whose file is called otherwise; file or files is required
  reload       required; program and arguments that make the servers read a changed file; may also
               sign the zone anew, or commit. {zone} and {file} stand for whole arguments; no shell
  check        program and arguments that may refuse the new text before it is in place (default: none)
  timeout      for each of the two (default 10s)
  serial       auto (default: date if it looks like one, else counter), date (YYYYMMDDnn), counter, unix
  signs        true: reload signs the zone anew (default false: a file with signatures is refused)
  journal      true: a journal (FILE.jnl) beside the file is its server's own, since it computes
               differences or signs inline (default false: refused, since DNS updates then own the file)
  include_dir  where relative $INCLUDE files lie (default: the master file's folder)
  The file is locked by flock(2) on .FILE.mxcutover beside it, which others may take, too.`,
	Example: `file: /etc/bind/db.{zone}
check: [named-checkzone, "{zone}", "{file}"]
reload: [rndc, reload, "{zone}"]
`,
	Quirks: []string{
		"Only the lines of the RRset and the serial change; comments, blank lines, tabs, order, case, line ends and directives stay. A line that took its owner or TTL from one that went has it written out. A TTL that was left out and is changed stays written out on the way back.",
		"Lines of included files, and records of a $GENERATE, are read and not written: a change of theirs is refused, with the line.",
		"The file is compared once more right before the new one takes its place by a rename. An editor that takes no lock and saves within the microseconds between is not seen.",
		"A reload that fails, or whose process died, is owed: that is noted beside the file before it changes, and the reload is run again by the next try at any record of the zone.",
	},
	Proven: "files, with another parser's reading as the truth; BIND 9 serving them in make integration.",
	Docs:   "https://www.rfc-editor.org/rfc/rfc1035#section-5",
}

// zonefileSettings is the section of the configuration.
type zonefileSettings struct {
	File       string            `yaml:"file" is:"path" json:"file"`
	Files      map[string]string `yaml:"files" is:"path" json:"files"`
	Reload     command           `yaml:"reload,required" json:"reload"`
	Check      command           `yaml:"check" json:"check"`
	Timeout    time.Duration     `yaml:"timeout" json:"timeout"`
	Serial     serialScheme      `yaml:"serial" json:"serial"`
	Signs      bool              `yaml:"signs" json:"signs"`
	Journal    bool              `yaml:"journal" json:"journal"`
	IncludeDir string            `yaml:"include_dir" is:"path" json:"include_dir"`
}

// A zonefile reads and writes zones in master files.
//
// A write that is killed leaves the old file or the new one, never half of one.
// Before the new one is in place it is noted beside it that a reload is owed;
// the note goes when the reload command has ended well. See [zonefile.Publish].
type zonefile struct {
	zonefileSettings
	files  map[string]string // canonical zone -> path
	now    func() time.Time
	places places

	mu    sync.Mutex
	zones map[string]*fileZone // as last read, by path
}

func openZonefile(decode func(into any) error) (Provider, error) {
	s := zonefileSettings{Timeout: 10 * time.Second, Serial: serialAuto}
	if err := decode(&s); err != nil {
		return nil, err
	}
	p := &zonefile{zonefileSettings: s, files: map[string]string{}, now: time.Now, zones: map[string]*fileZone{}}
	for zone, path := range s.Files {
		name, err := rrset.CanonicalName(zone)
		if err != nil {
			return nil, fmt.Errorf("files: %w", err)
		}
		p.files[name] = path
	}
	switch {
	case s.File == "" && len(s.Files) == 0:
		return nil, errors.New("file or files: where the zones' master files lie was expected")
	case s.File != "" && !strings.Contains(s.File, "{zone}"):
		return nil, fmt.Errorf(`file %.200q: {zone} was expected in it, as in "/etc/bind/db.{zone}"; name single files under files`, s.File)
	case len(s.Reload) == 0:
		return nil, errors.New("reload: a program and its arguments were expected; [true] if the servers see a new file by themselves")
	case s.Timeout <= 0 || s.Timeout > time.Hour:
		return nil, fmt.Errorf("timeout %v: more than 0 and at most 1h was expected", s.Timeout)
	}
	return p, errors.Join(s.Reload.check("reload", "{zone}", "{file}"), s.Check.check("check", "{zone}", "{file}"))
}

// path is where a zone's master file lies, links followed.
func (p *zonefile) path(zone string) (string, error) {
	path, ok := p.files[zone]
	if !ok {
		name := rrset.Bare(zone)
		switch {
		case p.File == "":
			return "", fmt.Errorf("zone %s: the settings name no file for it; add it under files", name)
		case strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, "."):
			return "", fmt.Errorf("zone %s: its name is no file's name; name its file under files", name)
		}
		path = strings.ReplaceAll(p.File, "{zone}", name)
	}
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: %s: its master file %s is not there", ErrNoZone, rrset.Bare(zone), path)
	case err != nil:
		return "", fmt.Errorf("zone %s: %w", rrset.Bare(zone), err)
	}
	return real, nil
}

// zone reads a zone's file, or takes what it meant if it is as it was, and keeps
// that for the next time.
func (p *zonefile) zone(zone string) (*fileZone, error) {
	z, err := p.look(zone)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.zones[zone] = z
	p.mu.Unlock()
	return z, nil
}

// look reads a zone's file, or takes what it meant if it is as it was.
func (p *zonefile) look(zone string) (*fileZone, error) {
	path, err := p.path(zone)
	if err != nil {
		return nil, err
	}
	text, err := readZoneFile(path)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	z := p.zones[zone]
	p.mu.Unlock()
	if z != nil && z.main.path == path && bytes.Equal(z.main.text, text) && p.sameParts(z) {
		return z, nil
	}
	main, err := cutFile(path, text)
	if err != nil {
		return nil, err
	}
	return readFileZone(zone, main, func(name string) (*fileText, error) { return p.include(path, name) })
}

func (p *zonefile) include(main, name string) (*fileText, error) {
	if !filepath.IsAbs(name) {
		dir := p.IncludeDir
		if dir == "" {
			dir = filepath.Dir(main)
		}
		name = filepath.Join(dir, name)
	}
	text, err := readZoneFile(name)
	if err != nil {
		return nil, err
	}
	return cutFile(name, text)
}

// sameParts tells whether the included files are as they were.
func (p *zonefile) sameParts(z *fileZone) bool {
	for _, part := range z.parts {
		if text, err := readZoneFile(part.path); err != nil || !bytes.Equal(text, part.text) {
			return false
		}
	}
	return true
}

// maxZoneFile bounds a master file, in bytes: a million records take some 50 MB.
const maxZoneFile = 256 << 20

func readZoneFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxZoneFile:
		return nil, fmt.Errorf("%s is above %d bytes", path, maxZoneFile)
	}
	return os.ReadFile(path)
}

// Read reads one RRset from the file; see [Reader].
func (p *zonefile) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return rrset.Set{}, err
	}
	z, err := p.zone(w.zone)
	if err != nil {
		return rrset.Set{}, err
	}
	return z.set(w)
}

// Zone reads all RRsets of the file, those of included files and of $GENERATE,
// too; see [Zoner].
func (p *zonefile) Zone(_ context.Context, zone string) ([]rrset.Set, error) {
	name, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	z, err := p.look(name) // which is not kept: of many names it is large, and they are asked for once
	if err != nil {
		return nil, err
	}
	if _, _, err := z.soa(); err != nil {
		return nil, err
	}
	return z.sets()
}

// GetRecords reads a zone's file, for libdns.
func (p *zonefile) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// Fence is 0: a write to a file is over when it returns, or when its process dies.
func (p *zonefile) Fence() time.Duration { return 0 }
