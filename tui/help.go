package tui

import "strings"

// helpContent lists the keys.
func (m *model) helpContent() content {
	var lines []string
	for _, part := range helpParts {
		lines = append(lines, m.style.hd.Render(" "+part.title))
		for _, k := range part.keys {
			lines = append(lines, wrapped("   "+m.style.title.Render(m.pad(k[0], 13))+" "+k[1], m.width-1, strings.Repeat(" ", 17))...)
		}
	}
	c := text(lines)
	c.title, c.end = "Keys: lower case looks, UPPER CASE changes", "Enter never confirms"
	c.keys = "esc back  arrows scroll  q detach"
	return c
}

var helpParts = []struct {
	title string
	keys  [][2]string
}{
	{"Screens", [][2]string{
		{"o  esc", "overview; esc goes back"},
		{"enter  e", "open the domain; explain it: why it is so, and what can be done"},
		{"l  p  c  i  r", "log; plan; checks and their findings; isolation; report"},
		{":  ?", "everything by its name; this help"},
		{"q", "detach: the engine goes on"},
	}},
	{"Moving and finding", [][2]string{
		{"j k  arrows", "move; left and right move long lines sideways"},
		{"PgUp PgDn  g", "page; first, and again: last"},
		{"[ ]", "previous, next domain"},
		{"a", "ask anew: the domain's name servers and resolvers, the firewall, the findings, the report"},
		{"/", "filter by part of a name, state or wave; elsewhere search, and n finds the next"},
		{"s", "sort by plan, urgency, name, deadline, mail"},
		{"space  *  -", "mark; mark all that the filter leaves; unmark"},
		{"y", "copy: the domain, dig, the command, the line (OSC 52, and shown)"},
	}},
	{"Changes: each opens a dialog, Ctrl+Y carries out, esc cancels", [][2]string{
		{"A", "approve the next wave, or the isolation"},
		{"H  U  T", "hold; resume; retry what is held, drifted or rolled back (marked ones together)"},
		{"R  W", "roll the domain (or the marked ones) back; roll its whole wave back"},
		{"P", "hold everything"},
		{"C  L", "confirm the isolation: keep what is armed and proven; lift it"},
		{"D", "say that the table which a person is asked to load is loaded (isolate.driver: script)"},
		{"O", "take control over, where another session has it"},
		{"B  S  Q", "begin the migration; start an engine that outlives the terminal; stop the engine"},
	}},
	{"In a dialog", [][2]string{
		{"Ctrl+Y", "carry it out; what destroys wants a name typed first"},
		{"Tab", "the next choice, where there is one"},
		{"Ctrl+O", "copy the command that does the same"},
		{"esc", "cancel"},
	}},
}
