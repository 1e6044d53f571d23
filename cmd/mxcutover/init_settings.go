package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/report"
)

// A setting is one key of a kind of provider, as its example has it.
type setting struct {
	key, value string
	words      string // what the kind says of it
	secret     bool   // its value is where the secret is
	needed     bool   // the kind cannot do without
}

var (
	settingValue = regexp.MustCompile(`^([a-z0-9_]+): (.+)$`)
	settingWords = regexp.MustCompile(`^  ([a-z0-9_]+(?:, [a-z0-9_]+)*)\s+(.+)$`)
)

// settingsOf are the keys that a kind's example shows. One is needed unless its words
// tell a default, or where alone it has a meaning.
func settingsOf(kind string) []setting {
	kinds := providers.Kinds()
	at := slices.IndexFunc(kinds, func(k providers.Kind) bool { return k.Kind == kind })
	if at < 0 {
		return nil
	}
	words := map[string]string{}
	lines := strings.Split(kinds[at].Settings, "\n")
	for n, line := range lines {
		if clause := strings.LastIndex(line, "; "); clause > 0 && n+1 < len(lines) && strings.HasPrefix(lines[n+1], "     ") {
			line = line[:clause] // what goes on in the next line is left out whole
		}
		if m := settingWords.FindStringSubmatch(line); m != nil {
			for key := range strings.SplitSeq(m[1], ", ") {
				words[key] = m[2]
			}
		}
	}
	var out []setting
	for line := range strings.SplitSeq(kinds[at].Example, "\n") {
		if m := settingValue.FindStringSubmatch(line); m != nil {
			x := setting{key: m[1], value: m[2], words: words[m[1]], secret: strings.HasPrefix(m[2], "{file:")}
			x.needed = !strings.Contains(x.words, "default") && !strings.Contains(x.words, " where ")
			out = append(out, x)
		}
	}
	return out
}

// settings settles the provider's settings: those that are needed are asked for, a
// secret's place is offered, and the others stay comments.
func (i *initiation) settings(ctx context.Context) error {
	kind := i.first("provider")
	said := map[string]bool{}
	for n, kv := range i.draft["setting"] {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || value == "" || strings.ContainsAny(value, "\r\n") {
			return usagef("--setting %.80q: KEY=VALUE was expected, in one line", kv)
		}
		text, err := settingText(kind, key, value)
		if err != nil {
			return usagef("--setting %s: %w; see:\n  mxcutover providers list %s", key, err, report.Quote(kind))
		}
		i.draft["setting"][n] = key + "=" + text
		said[key] = true
	}
	for _, x := range settingsOf(kind) {
		switch {
		case said[x.key] || !x.needed:
		case i.terminal:
			found := ""
			if x.secret {
				found = x.value
			}
			var text string
			_, err := i.ask.text(ctx, "  "+x.key+" ("+x.words+")", found, func(v string) (err error) {
				text, err = settingText(kind, x.key, v)
				return err
			})
			if err != nil {
				return err
			}
			i.draft["setting"] = append(i.draft["setting"], x.key+"="+text)
		case x.secret:
			i.draft["setting"] = append(i.draft["setting"], x.key+"="+x.value)
		default:
			i.missing = append(i.missing, "--setting "+x.key+"=VALUE ("+x.words+")")
		}
	}
	return nil
}

// settingText is a value as it stands in the file: as it was written if the kind takes
// that, else as a text in quotes.
func settingText(kind, key, value string) (string, error) {
	var last error
	for _, text := range []string{value, quoted(value)} {
		s, err := config.ParseSection("setting", []byte(key+": "+text+"\n"))
		if err != nil {
			last = err
			continue
		}
		wrong := errors.New("stop")
		_, _ = providers.Open(kind, func(into any) error { // it always ends with what is returned here
			wrong = s.Decode(into)
			return errors.New("stop")
		})
		var faults config.Faults
		if errors.As(wrong, &faults) {
			at := slices.IndexFunc(faults, func(f config.Fault) bool {
				return f.Key == key || strings.HasPrefix(f.Key, key+"[") || strings.HasPrefix(f.Key, key+".")
			})
			if at >= 0 { // that others are missing is no fault of this one
				told := key + " " + faults[at].Message
				if faults[at].Cure != "" {
					told += "; " + faults[at].Cure
				}
				last = errors.New(told)
				continue
			}
		}
		return text, nil
	}
	return "", last
}
