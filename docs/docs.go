// Package docs holds the pages that the program itself can show: one for each
// check.
package docs

import (
	"embed"
	"slices"
	"strings"
)

//go:embed checks/*.md
var pages embed.FS

// Check is the page of a check: Markdown, its first line "# ID".
func Check(id string) (page string, ok bool) {
	if strings.ContainsAny(id, `/\`) {
		return "", false
	}
	b, err := pages.ReadFile("checks/" + id + ".md")
	return string(b), err == nil
}

// Checks are the checks that have a page, sorted.
func Checks() []string {
	entries, _ := pages.ReadDir("checks") // it is embedded
	var out []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".md"); ok && id != "README" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
