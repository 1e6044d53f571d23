package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcutover/verify"
)

func TestReadAddresses(t *testing.T) {
	t.Parallel()
	got, err := readAddresses("l", strings.NewReader("\ufeffInfo@Example.ORG\n\n# none\n<info@example.org.> # again\nInfo@example.org\n\"a b\"@x.test\n"))
	if err == nil || !strings.Contains(err.Error(), "l:6") {
		t.Errorf("%q, %v", got, err)
	}
	got, err = readAddresses("l", strings.NewReader("Info@Example.ORG\ninfo@example.org.\nInfo@example.org\njörg@x.test"))
	if want := "[Info@example.org info@example.org jörg@x.test]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%q, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"x", "@x.test", "x@", "x@[192.0.2.1]", "x y@z.test", "x@y\r\nDATA.test", "a@b@.", strings.Repeat("x", 400) + "@y.test", "x>@y.test"} {
		if a, ok := address(bad); ok {
			t.Errorf("%q is taken for %q", bad, a)
		}
	}
	path := filepath.Join(t.TempDir(), "valid")
	if err := os.WriteFile(path, []byte("a@x.test\nb@y.test\nb@x.test\nc@x.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	of, err := byDomain(path, 2)
	if err != nil || fmt.Sprint(of("x.test"), of("y.test"), of("z.test")) != "[a@x.test b@x.test] [b@y.test] []" {
		t.Errorf("%v %v %v, %v", of("x.test"), of("y.test"), of("z.test"), err)
	}
}

func FuzzAddresses(f *testing.F) {
	f.Add("info@example.org\n# x\n<Jörg@bücher.example>\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readAddresses("f", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, a := range got {
			if again, ok := address(a); !ok || again != a || strings.ContainsAny(a, "\r\n <>") {
				t.Errorf("%q is read as %q", a, again)
			}
		}
	})
}

// What is left of a file of answers after a crash at any byte can be gone on with.
func TestNotesAfterACrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	n, err := openNotes(path, "probe@x.test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := n.add(verify.Answer{Server: "old 192.0.2.1", Address: fmt.Sprintf("a%d@x.test", i), Code: 250}); err != nil {
			t.Fatal(err)
		}
	}
	var no refused
	if _, err := openNotes(path, "probe@x.test"); !errors.As(err, &no) {
		t.Errorf("two at once: %v", err)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := openNotes(path, "probe@x.test")
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if want := max(bytes.Count(whole[:cut], []byte("\n"))-1, 0); len(n.known) != want {
			t.Errorf("cut at %d: %d answers, want %d", cut, len(n.known), want)
		}
		if err := n.add(verify.Answer{Server: "s", Address: "last@x.test", Code: 550}); err != nil {
			t.Fatal(err)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
		if n, err = openNotes(path, "probe@x.test"); err != nil || n.known[[2]string{"s", "last@x.test"}].Code != 550 {
			t.Fatalf("cut at %d, and gone on with: %v, %v", cut, n, err)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzNotes(f *testing.F) {
	f.Add([]byte("{\"parity\":1,\"from\":\"x\"}\n{\"server\":\"s\",\"address\":\"a\",\"code\":250}\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n := &parityNotes{path: "f", known: verify.Asked{}}
		whole, err := n.read(bytes.NewReader(text), "x")
		if err == nil && (whole > int64(len(text)) || whole > 0 && text[whole-1] != '\n') {
			t.Errorf("whole lines up to %d of %q", whole, text)
		}
	})
}
