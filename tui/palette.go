package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"mxcutover/rrset"
	"mxcutover/state"
)

// A palette is everything by its name: commands, and domains to go to.
type palette struct {
	text   string
	cursor int
	found  []choice
}

// A choice is one line of the palette. It is a key that is pressed, or a change that
// is asked about in its dialog; none is carried out from here.
type choice struct {
	name, key string
	do        func(*model) tea.Cmd
}

// mostFound bounds the domains that the palette lists.
const mostFound = 50

// pressed is a choice that does what a key does.
func pressed(name, key string) choice {
	return choice{name, key, func(m *model) tea.Cmd { return m.command(key) }}
}

// asking is a choice that opens a dialog.
func asking(name string, v state.Verb, target string) choice {
	return choice{name, "", func(m *model) tea.Cmd {
		m.open(v, target)
		return nil
	}}
}

// ofDomains is a choice that does what a key does on the overview.
func ofDomains(name, key string) choice {
	return choice{name, key, func(m *model) tea.Cmd {
		m.show(overview)
		return m.command(key)
	}}
}

// choices are all that is not a wave or a domain.
func choices() []choice {
	return []choice{
		pressed("overview: waves, domains, events", "o"),
		pressed("log of events", "l"),
		pressed("plan", "p"),
		pressed("checks and their findings, parity", "c"),
		pressed("isolation of the old server", "i"),
		pressed("report", "r"),
		pressed("explain the domain", "e"),
		pressed("help: keys", "?"),
		ofDomains("sort the domains another way", "s"),
		ofDomains("mark all domains that the filter leaves", "*"),
		ofDomains("take all marks away", "-"),
		pressed("filter or search", "/"),
		pressed("copy", "y"),
		{"show only what is held", "", func(m *model) tea.Cmd { return m.showOnly("held") }},
		{"show only what is marked", "", func(m *model) tea.Cmd { return m.showOnly("marked") }},
		{"show only what is on hold", "", func(m *model) tea.Cmd { return m.showOnly("on hold") }},
		pressed("approve the next wave, or the isolation", "A"),
		pressed("hold the domain, or the marked ones", "H"),
		pressed("resume the domain, or the marked ones", "U"),
		pressed("retry the domain, or the marked ones", "T"),
		pressed("roll the domain back, or the marked ones", "R"),
		pressed("roll the wave back", "W"),
		pressed("hold everything", "P"),
		asking("resume everything", state.Resume, state.All),
		asking("retry everything that is held", state.Retry, state.All),
		asking("roll everything back", state.Rollback, state.All),
		asking("approve the isolation", state.Approve, state.Isolate),
		pressed("confirm the isolation", "C"),
		pressed("lift the isolation", "L"),
		asking("hold the isolation", state.Hold, state.Isolate),
		asking("resume the isolation", state.Resume, state.Isolate),
		asking("retry the isolation", state.Retry, state.Isolate),
		pressed("done: the firewall's table is loaded that a person is asked for", "D"),
		pressed("take control over", "O"),
		pressed("begin the migration", "B"),
		pressed("start an engine", "S"),
		pressed("stop the engine", "Q"),
		pressed("detach: the engine goes on", "q"),
	}
}

func (m *model) showOnly(what string) tea.Cmd {
	m.show(overview)
	m.refilter(what)
	return nil
}

func (m *model) openPalette() *palette {
	p := &palette{}
	p.search(m)
	return p
}

// search finds what has every word that was typed.
func (p *palette) search(m *model) {
	words := strings.Fields(strings.ToLower(p.text))
	has := func(s string) bool {
		for _, w := range words {
			if !strings.Contains(s, w) {
				return false
			}
		}
		return true
	}
	p.found, p.cursor = nil, 0
	for _, begins := range []bool{true, false} { // what begins so is meant before what has it somewhere
		for _, c := range choices() {
			if has(c.name) && (len(words) == 0 || strings.HasPrefix(c.name, words[0])) == begins {
				p.found = append(p.found, c)
			}
		}
	}
	for i := range m.status().Waves {
		n, target := m.status().Waves[i].Name, state.WaveTarget(m.status().Waves[i].Name)
		for _, c := range []choice{
			asking("approve wave "+n, state.Approve, target), asking("hold wave "+n, state.Hold, target), asking("resume wave "+n, state.Resume, target),
			asking("retry wave "+n, state.Retry, target), asking("roll wave "+n+" back", state.Rollback, target),
		} {
			if len(words) > 0 && has(c.name) && len(p.found) < mostFound {
				p.found = append(p.found, c)
			}
		}
	}
	if len(words) != 1 {
		return
	}
	for i, n := range m.list.names {
		if len(p.found) >= mostFound {
			return
		}
		if strings.Contains(n, words[0]) {
			of := m.status().Domains[i].Domain
			p.found = append(p.found, choice{"go to " + rrset.Bare(of), "", func(m *model) tea.Cmd {
				m.screen = overview
				m.openDomain(of)
				return nil
			}})
		}
	}
}

// enter types into the palette.
func (p *palette) enter(m *model, text string) {
	if len(p.text)+len(text) <= maxInput {
		p.text += text
		p.search(m)
	}
}

func (m *model) paletteKey(k tea.KeyPressMsg, name string) tea.Cmd {
	p := *m.palette
	m.palette = &p
	switch name {
	case "esc":
		m.palette = nil
	case "enter":
		m.palette = nil
		if p.cursor < len(p.found) {
			return p.found[p.cursor].do(m)
		}
	case "down", "ctrl+n", "tab":
		p.cursor = min(p.cursor+1, max(len(p.found)-1, 0))
	case "up", "ctrl+p":
		p.cursor = max(p.cursor-1, 0)
	case "backspace":
		p.text = shorter(p.text)
		p.search(m)
	case "ctrl+u":
		p.text = ""
		p.search(m)
	default:
		p.enter(m, typed(k, len(p.text)))
	}
	return nil
}

func (m *model) paletteView() []string {
	p := m.palette
	lines := append(m.heads(), m.rule("Everything by its name", "enter goes there; esc back"), " : "+m.style.in.Render(harmlessInput(p.text)+"_"))
	h := max(m.height-len(lines)-1, 1)
	top := max(p.cursor-h+1, 0)
	for i := top; i < min(top+h, len(p.found)); i++ {
		lines = append(lines, m.chosen(m.style.title.Render(m.pad(p.found[i].key, 4))+harmlessInput(p.found[i].name), i == p.cursor))
	}
	if len(p.found) == 0 {
		lines = append(lines, m.style.dim.Render("   nothing has that name"))
	}
	end := " changes open their dialog first"
	if below := len(p.found) - top - h; below > 0 {
		end = fmt.Sprintf(" arrow down: %d more  %s", below, end)
	}
	return append(fill(lines, m.height-1), m.style.dim.Render(end))
}

func (m *model) pasteIntoPalette(text string) {
	p := *m.palette
	p.enter(m, text)
	m.palette = &p
}
