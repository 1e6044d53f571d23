package traffic

import "bytes"

// nobody are words by which servers say that a recipient does not exist, or that
// they do not relay for it; and the codes for that of RFC 3463 section 3.2.
var nobody = [...]string{
	"user unknown", "unknown user", "unknown recipient", "recipient unknown", "unknown local", "unknown address", "unverified address", "unrouteable", "unroutable",
	"no such", "not exist", "invalid recipient", "not our customer", "relay", "mailbox unavailable", "5.1.1 ", "5.1.2 ", "5.1.6 ", "5.1.10 ",
}

// Nobody tells whether a reply refuses a recipient for being nobody's, or not one to
// relay for, and not for what its sender is. It goes by the words of common servers.
func Nobody(reply []byte) bool {
	var buf [maxStatus]byte
	text := lower(buf[:0], short(reply))
	for _, words := range nobody {
		if bytes.Contains(text, []byte(words)) {
			return true
		}
	}
	return false
}
