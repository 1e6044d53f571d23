package report

import "io"

// A HandTable is what a person is asked to load into a firewall that is theirs.
type HandTable struct {
	Name           string
	Rows           any    // as they are encoded
	Text, CSV, NFT string // the same in other forms
}

// HandTableJSON writes it for programs.
func HandTableJSON(w io.Writer, t HandTable) error {
	return encode(w, object{"v": version, "name": t.Name, "rows": t.Rows, "nft": t.NFT})
}
