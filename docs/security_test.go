package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityIsShown: each file and each test that SECURITY.md names is there.
func TestSecurityIsShown(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("`([a-z]+(?:/[A-Za-z0-9._-]+)+)`").FindAllStringSubmatch(string(page), -1)
	for _, m := range files {
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Error(err)
		}
	}
	var code strings.Builder
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		code.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := regexp.MustCompile(`\b((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\b`).FindAllString(string(page), -1)
	for _, name := range tests {
		if !strings.Contains(code.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
	if len(files) < 25 || len(tests) < 40 {
		t.Errorf("%d files, %d tests", len(files), len(tests))
	}
}

// TestScriptsParse: a shell takes what is packaged and what builds it.
func TestScriptsParse(t *testing.T) {
	t.Parallel()
	for _, glob := range []string{"../scripts/*", "../packaging/scripts/*"} {
		paths, err := filepath.Glob(glob)
		if err != nil || len(paths) < 3 {
			t.Fatalf("%s: %v, %v", glob, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			shell := "bash"
			if strings.HasPrefix(string(text), "#!/bin/sh") {
				shell = "sh"
			} else if !strings.HasPrefix(string(text), "#!") {
				continue
			}
			if out, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", path, err, out)
			}
		}
	}
}
