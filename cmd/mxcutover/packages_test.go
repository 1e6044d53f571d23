//go:build integration

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// inCopy runs a shell script as root in a copy of this machine's file system that is gone
// with it, and tells what it says and which files it leaves. What it does to the machine's
// own files is done to the copy alone.
func inCopy(t *testing.T, dir, script string) (said string, left []string) {
	t.Helper()
	over := t.TempDir()
	const around = `set -eu
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root" || exit 77
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mkdir "$1/root/packages"
mount --bind "$2" "$1/root/packages"
# What another installation left here is not of this one.
chroot "$1/root" sh -eu -c 'rm -rf /usr/bin/mxcutover /usr/share/mxcutover /usr/share/doc/mxcutover /etc/mxcutover /var/lib/mxcutover /usr/share/man/man1/mxcutover*'
chroot "$1/root" sh -eu -c "$3"
cd "$1/up"
echo "== left"
find . \( -type f -o -type d -o -type l \) | sed 's/^[.]//'
`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", "--mount", "--propagation", "private", "sh", "-c", around, "sh", over, dir, script)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANPAGER=cat", "MXCUTOVER_CONFIG=", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := c.CombinedOutput()
	if c.ProcessState != nil && c.ProcessState.ExitCode() == 77 {
		why := fmt.Sprintf("%s: this machine's kernel makes no copy of its file system: %s", t.Name(), out)
		if list := os.Getenv("SKIPPED"); list != "" { // make integration tells it: go test does not
			if err := os.WriteFile(list, []byte(why), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Skip(why)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, after, _ := strings.Cut(string(out), "== left\n")
	return said, strings.Fields(after)
}

// packages makes the packages of this commit for this machine, in a folder of the test's.
func packages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "make", "-C", "../..", "package", "DIST="+dir, "ARCHES=amd64")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	return dir
}

// pageLink is a link to another page or picture.
var pageLink = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return filepath.Base(found[0])
}

// uses is what whoever installed it does first.
const uses = `
test "$(mxcutover version)" = "$(mxcutover --version | sed 's/ version//')"
test "$(mxcutover version)" != 'mxcutover unknown'
man -P cat mxcutover-rollback | grep -c 'proven by a probe'
bash -c '. /usr/share/bash-completion/completions/mxcutover && complete -p mxcutover'
systemd-analyze verify --man=no mxcutover@x.service mxcutover-rollback@x.service mxcutover-verify@x.service mxcutover-verify@x.timer
mxcutover config schema | cmp - /usr/share/mxcutover/mxcutover.schema.json
test "$(stat -c '%U:%G %a' /etc/mxcutover /etc/mxcutover/credentials /var/lib/mxcutover | tr '\n' ,)" = 'root:mxcutover 750,root:root 700,mxcutover:mxcutover 750,'
`

// own tells whether a path is what the packages bring, or what they made.
func own(path string) bool {
	for _, place := range []string{"/etc", "/usr", "/var/lib", "/run"} {
		if strings.HasPrefix(path, place+"/") && strings.Contains(path, "mxcutover") {
			return !strings.HasPrefix(path, "/var/lib/dpkg/")
		}
	}
	return false
}

// TestIntegrationPackages installs the packages into a copy of this machine, uses what is
// there, and takes it away: nothing stays, but where there is a way back.
func TestIntegrationPackages(t *testing.T) {
	t.Parallel()
	dir := packages(t)
	deb, rpm := one(t, dir+"/*.deb"), one(t, dir+"/*.rpm")
	linked(t, dir, deb)

	t.Run("deb", func(t *testing.T) {
		t.Parallel()
		said, left := inCopy(t, dir, "dpkg -i /packages/"+deb+uses+"dpkg -i /packages/"+deb+"\ndpkg -r mxcutover\ntest ! -e /usr/bin/mxcutover\ntest -d /var/lib/mxcutover\ndpkg -P mxcutover\n! getent passwd mxcutover\n! getent group mxcutover\n")
		nothing(t, said, left)
		if strings.Contains(said, "warning") {
			t.Error(said)
		}
	})
	t.Run("deb with a journal", func(t *testing.T) {
		t.Parallel()
		said, left := inCopy(t, dir, "dpkg -i /packages/"+deb+"\necho j >/var/lib/mxcutover/g.db\necho c >/etc/mxcutover/g.yaml\ndpkg -P mxcutover\ngetent passwd mxcutover\n")
		if !strings.Contains(said, "rm -r /var/lib/mxcutover") {
			t.Errorf("a purge says nothing of what it leaves:\n%s", said)
		}
		for _, path := range []string{"/var/lib/mxcutover/g.db", "/etc/mxcutover/g.yaml"} {
			if !slices.Contains(left, path) {
				t.Errorf("a purge took %s", path)
			}
		}
	})
	t.Run("rpm", func(t *testing.T) {
		t.Parallel()
		const db = "rpm --dbpath /rpm "
		said, left := inCopy(t, dir, db+"-i --nodeps /packages/"+rpm+uses+db+"-V --nodeps mxcutover\n"+db+"-e mxcutover\n")
		nothing(t, said, left)
	})
}

func nothing(t *testing.T, said string, left []string) {
	t.Helper()
	left = slices.DeleteFunc(left, func(path string) bool { return !own(path) })
	if len(left) > 0 {
		t.Errorf("left behind: %q\n%s", left, said)
	}
	for _, want := range []string{"complete ", "-F __start_mxcutover mxcutover"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing is said of %q:\n%s", want, said)
		}
	}
}

// sourceOnly is what pages name that is no page, and stands elsewhere in a package.
var sourceOnly = []string{"../firewall/remote.sh", "../packaging/monitoring"}

// linked tells whether each page that a page names is in the package too.
func linked(t *testing.T, dir, deb string) {
	t.Helper()
	to := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-x", filepath.Join(dir, deb), to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root := filepath.Join(to, "usr/share/doc/mxcutover")
	pages := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		pages++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range pageLink.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Lstat(filepath.Join(filepath.Dir(path), m[1])); err != nil && !slices.Contains(sourceOnly, m[1]) {
				t.Errorf("%s names %s, which is not in the package", strings.TrimPrefix(path, root), m[1])
			}
		}
		return nil
	})
	if err != nil || pages < 40 {
		t.Errorf("%d pages: %v", pages, err)
	}
}
