package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// secretKey matches keys whose value may be a secret, by how they end.
var secretKey = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?|secret|token|key|credentials?|auth)$`)

// secretName tells whether a key's value may be a secret, typing errors
// included.
func secretName(key string) bool {
	k := strings.ToLower(key)
	return secretKey.MatchString(k) || distance(k, "password") <= 2 || distance(k, "secret") <= 1 || distance(k, "token") <= 1
}

// hide masks an entry's value in all excerpts if it may be a secret itself, and
// not a reference to one.
func (d *document) hide(e entry) {
	if secretName(e.name) && !isRef(e.value) {
		d.masks = append(d.masks, spans(e.value)...)
	}
}

// isRef tells whether a node has the form of a secret's reference.
func isRef(n *node) bool {
	return n.kind == mappingKind && len(n.entries) > 0 && !slices.ContainsFunc(n.entries, func(e entry) bool {
		return e.name != "env" && e.name != "file" && e.name != "credential" || e.value.kind != textKind
	})
}

// spans are the places of all scalars in a node.
func spans(n *node) []mask {
	out := slices.Clone(n.span)
	for _, x := range n.items {
		out = append(out, spans(x)...)
	}
	for _, e := range n.entries {
		out = append(out, spans(e.value)...)
	}
	return out
}

var (
	keyColon  = regexp.MustCompile(`([\w.-]+)["']?\s*:(\s|$)`)
	structure = regexp.MustCompile(`^\s*(#|- |-$|[\w."'*@<?{}\[\]-]+\s*:(\s|$)|[\]\[{}]|---|\.\.\.)`)
	reference = regexp.MustCompile(`^\s*\{\s*(env|file|credential)\s*:[^,}]*\}`)
)

// byText finds what may be a secret in a text that could not be parsed: the
// rest of a line after a suspicious key, and lines that only go on.
func (d *document) byText() []mask {
	var out []mask
	for i, l := range d.lines {
		if strings.TrimSpace(l) != "" && !structure.MatchString(l) {
			out = append(out, mask{i + 1, 1, 0})
			continue
		}
		for _, m := range keyColon.FindAllStringSubmatchIndex(l, -1) {
			if secretName(l[m[2]:m[3]]) && !reference.MatchString(l[m[1]:]) {
				out = append(out, mask{i + 1, utf8.RuneCountInString(l[:m[1]]) + 1, 0})
				break
			}
		}
	}
	return out
}
