package traffic

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"time"
)

// A rotated log's name has a number or date at its end.
var rotated = regexp.MustCompile(`[.-][0-9][0-9.-]*$`)

// Exchange's message tracking logs have an hour and a number in their names, and one
// more letter or two for each of a server's services, which log of the same messages.
var tracked = regexp.MustCompile(`MSGTRK(M[ADS])?[0-9]{8,10}-[0-9]+(\.LOG)$`)

// LogName is a log file's path without what rotation and compression add: files of one
// LogName are one log.
func LogName(file string) string {
	if slices.Contains([]string{".gz", ".bz2", ".xz", ".zst", ".Z"}, path.Ext(file)) {
		file = file[:len(file)-len(path.Ext(file))]
	}
	if tracked.MatchString(file) {
		return tracked.ReplaceAllString(file, "MSGTRK$2")
	}
	return rotated.ReplaceAllString(file, "")
}

// Begins tells from the first lines of a file when it begins; false = none of them is
// understood.
func Begins(text []byte, o Options) (at time.Time, ok bool) {
	all, err := chosen(o.Format)
	if err != nil {
		return at, false
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break
		}
		for _, f := range all {
			var e entry
			if f.parse(trim(line[:len(line)-1]), &clock{now: o.Now, zone: o.Zone}, &e) && !e.at.IsZero() {
				return e.at, true
			}
		}
	}
	return at, false
}
