package tui

// helpView lists the keys.
func (m model) helpView() []string {
	lines := []string{m.head(), m.rule("Keys: lower case looks, upper case changes")}
	for _, k := range [][2]string{
		{"j k  arrows", "move"},
		{"PgUp PgDn  g G", "page, first, last"},
		{"enter", "open the domain"},
		{"[ ]", "previous, next domain"},
		{"/", "filter by part of a name, by state, or by wave"},
		{"esc", "back; clears the filter"},
		{"A", "approve the next wave, or the isolation"},
		{"D", "done: the table that a person is asked to load is loaded"},
		{"C", "confirm the isolation: keep what is armed and proven"},
		{"H  U", "hold the domain; resume it"},
		{"T", "retry: go on, or begin anew after a rollback"},
		{"R  W", "roll the domain back; roll its whole wave back"},
		{"O", "take control over, where another session has it"},
		{"q", "detach: the engine goes on"},
	} {
		lines = append(lines, "   "+m.style.title.Render(pad(k[0], 16))+k[1])
	}
	lines = append(lines, "", " Every change opens a dialog. Ctrl+Y carries it out, Enter never does;",
		" what destroys wants the name typed. Pasting is ignored.")
	return append(fill(lines, m.height-1), m.foot(" esc back"))
}

func pad(s string, n int) string {
	for len(s) < n {
		s += " "
	}
	return s
}
