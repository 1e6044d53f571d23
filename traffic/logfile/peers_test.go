//go:build bench

package logfile

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// How mawk counts recipients by domain, and no more than that.
var awk = map[string]string{
	"exim":    `$4 == "=>" || $4 == "->" { i = index($5, "@"); n[tolower(substr($5, i + 1))]++ } END { for (d in n) print n[d], d }`,
	"postfix": `/ status=sent / { i = index($7, "@"); d = substr($7, i + 1); n[tolower(substr(d, 1, index(d, ">") - 1))]++ } END { for (d in n) print n[d], d }`,
}

const speedRounds = 3

// TestSpeedLogs reads made logs: ours, eximstats, pflogsumm, mawk and zcat, in turn.
// What is missing is named. LOGS_MB is their size, 1024 unless told.
func TestSpeedLogs(t *testing.T) {
	mb, err := strconv.Atoi(cmp.Or(os.Getenv("LOGS_MB"), "1024"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("mail logs of %d MiB ranked by domain, medians of %d rounds; of reports one round; in brackets the processors' time\n", mb, speedRounds)
	for format, report := range map[string]string{"exim": "eximstats", "postfix": "pflogsumm"} {
		path := filepath.Join(t.TempDir(), format+".log")
		packed := madeFile(t, path, format, mb<<20)
		r := race{t: t, size: float64(sizeOf(t, path)), took: map[string][]lap{}}
		for round := range speedRounds {
			r.ours("ours", path)
			r.ours("ours, gz", packed)
			r.peer("mawk", "mawk", awk[format], path)
			r.peer("zcat", "zcat", packed)
			if round == 0 {
				r.peer(report, report, path)
			}
		}
		ours := r.median("ours")
		fmt.Printf("  %-8s ours          %s\n", format, r.rate(ours))
		for _, name := range []string{report, "mawk"} {
			r.show(format, name, ours)
		}
		packedOurs := r.median("ours, gz")
		fmt.Printf("  %-8s ours, of gz   %s\n", format, r.rate(packedOurs))
		r.show(format, "zcat", packedOurs)
	}
}

// madeFile makes a log, and a compressed copy beside it.
func madeFile(t *testing.T, path, format string, size int) (packed string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := makeLog(f, format, size, 5000); err != nil {
		t.Fatal(err)
	}
	packed = path + ".gz"
	z, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	w, err := gzip.NewWriterLevel(z, 6)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriterSize(w, 1<<20)
	if err := makeLog(b, format, size, 5000); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err != nil || w.Close() != nil {
		t.Fatal("gzip", err)
	}
	return packed
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// lap is what one reading took: by the clock, and of the processors.
type lap struct{ wall, busy float64 }

type race struct {
	t    *testing.T
	size float64
	took map[string][]lap
}

func (r *race) ours(name, path string) {
	r.t.Helper()
	before, start := usage(r.t), time.Now()
	got, err := Read(r.t.Context(), []string{path}, Options{Zone: time.UTC})
	if err != nil || got.Skipped > 0 || got.Len() < 1000 {
		r.t.Fatalf("%+v, %v", got, err)
	}
	r.took[name] = append(r.took[name], lap{time.Since(start).Seconds(), usage(r.t) - before})
}

func usage(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func (r *race) peer(name, program string, args ...string) {
	r.t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		return
	}
	start := time.Now()
	c := exec.CommandContext(r.t.Context(), program, args...) // its output goes to /dev/null
	if err := c.Run(); err != nil {
		r.t.Errorf("%s: %v", program, err)
		return
	}
	r.took[name] = append(r.took[name], lap{time.Since(start).Seconds(), (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()})
}

func (r *race) median(name string) lap {
	all := r.took[name]
	slices.SortFunc(all, func(a, b lap) int { return cmp.Compare(a.wall, b.wall) })
	return all[len(all)/2]
}

func (r *race) rate(l lap) string {
	return fmt.Sprintf("%6.0f MB/s (%.0f MB/s of one processor)", r.size/1e6/l.wall, r.size/1e6/l.busy)
}

func (r *race) show(format, name string, ours lap) {
	if r.took[name] == nil {
		fmt.Printf("  %-8s %-13s missing: no such program here\n", format, name)
		return
	}
	l := r.median(name)
	fmt.Printf("  %-8s %-13s %s   ours is %.1f times as fast\n", format, name, r.rate(l), l.wall/ours.wall)
}
