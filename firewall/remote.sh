# mxcutover at the old server: one request on standard input, of one line
#   mxcutover-2 VERB LENGTH SHA256
# and LENGTH bytes of text. What changes something is first read whole, compared
# with its SHA-256 and checked by nft; then "ready" is said, and it is done only if
# "go SHA256" comes within some seconds of this machine's own clock.
set -u
umask 022
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
boot=@BOOT@
unit=@UNIT@
wants=@WANTS@

fail() { echo "mxcutover: $*" >&2; exit 90; }
IFS=' ' read -r protocol verb length sum rest || fail "the request was cut off"
[ "$protocol" = mxcutover-2 ] || fail "this is not a request"
[ -z "$rest" ] || fail "the request has more than was expected"
case $length in '' | *[!0-9]* | ????????*) fail "no length" ;; esac
case $sum in *[!0-9a-f]*) fail "no SHA-256" ;; esac
[ "${#sum}" -eq 64 ] || fail "no SHA-256"
nft=$(command -v nft) || fail "no nft here; install nftables"
# A full disk must not keep the ports closed: what is in memory comes first.
for at in /run /dev/shm "${TMPDIR:-/tmp}"; do dir=$(mktemp -d "$at/mxcutover.XXXXXXXX" 2>/dev/null) && break; done
[ -n "$dir" ] || fail "no temporary folder"
trap 'rm -rf "$dir"' EXIT
trap 'exit 91' HUP INT PIPE TERM
text=$dir/text
head -c "$length" >"$text" || fail "the text could not be read"
[ "$(wc -c <"$text")" -eq "$length" ] || fail "the text was cut off; nothing was done"
[ "$(sha256sum <"$text")" = "$sum  -" ] || fail "the text is not what was sent; nothing was done"

now() { IFS='. ' read -r up rest </proc/uptime && echo "$up"; }
# ready waits for the last word, so that what comes late is not done.
ready() {
	since=$(now) || fail "no clock"
	echo ready
	read -r word || fail "the last word did not come; nothing was done"
	[ "$word" = "go $sum" ] || fail "the last word is not the one expected; nothing was done"
	[ $(($(now) - since)) -le @WINDOW@ ] || fail "the last word came too late; nothing was done"
}
flush() { sync "$1" 2>/dev/null || sync; }
# put FILE TARGET writes a file whole and durably, or not at all.
put() {
	mkdir -p "${2%/*}" && cp "$1" "$2.new" && chmod 0644 "$2.new" && flush "$2.new" &&
		mv "$2.new" "$2" && flush "${2%/*}" || fail "$2 could not be written"
}
reload() { if [ -d /run/systemd/system ] && [ "${unit%/*}" = /etc/systemd/system ]; then systemctl daemon-reload; fi; }
# forget removes what the next boot would load.
forget() { rm -f "$wants/${unit##*/}" "$unit" "$boot" "$boot.new" "$unit.new"; }
# same FILE: is the text what the file holds?
same() { [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$sum  -" ]; }

# listed TABLE WHAT... is what nft lists of a table of ours, or the word absent. That it
# is not there is read from a list of all tables, and not guessed from a failure.
listed() {
	table=$1
	shift
	tables=$("$nft" list tables) || exit 92
	case "$lf$tables$lf" in
	*"${lf}table inet $table$lf"*) "$nft" -j list "$@" ;;
	*) echo absent ;;
	esac
}
lf='
'

case $verb in
list) listed mxcutover table inet mxcutover ;;
seen4) listed mxcutover set inet mxcutover blocked4 ;;
seen6) listed mxcutover set inet mxcutover blocked6 ;;
callers4) listed mxcutover_callers set inet mxcutover_callers callers4 ;;
callers6) listed mxcutover_callers set inet mxcutover_callers callers6 ;;
check) "$nft" -c -f "$text" ;;
load)
	"$nft" -c -f "$text" || exit 92
	ready
	"$nft" -f "$text" || exit 92
	echo done
	;;
lift)
	ready
	forget 2>/dev/null
	"$nft" -f "$text" || exit 92
	# once more: somebody may just have written it
	why=$(forget 2>&1) || fail "the ports are open now, and $boot could not be removed: the next boot closes them again; remove it, then lift once more: ${why%%"$lf"*}"
	reload
	echo done
	;;
boot)
	"$nft" -c -f "$text" || exit 92
	ready
	put "$text" "$boot"
	# lifted meanwhile: nothing is kept of it
	[ "$(listed mxcutover chain inet mxcutover refuse)" != absent ] || { forget; fail "nothing is closed any more, so it is not kept for the next boot"; }
	echo done
	;;
unit)
	ready
	put "$text" "$unit"
	mkdir -p "$wants" && ln -sf "$unit" "$wants/${unit##*/}" || fail "the unit could not be enabled"
	reload
	echo done
	;;
isboot) if same "$boot"; then echo yes; else echo no; fi ;;
isunit) if same "$unit" && [ -e "$wants/${unit##*/}" ]; then echo yes; else echo no; fi ;;
bridges)
	uplinks=" $(ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | tr '\n' ' ') " || fail "no ip here; install iproute2"
	ip -o addr show | while read -r _ dev family addr rest; do
		case $uplinks in *" $dev "*) continue ;; esac
		[ -d "/sys/class/net/$dev/bridge" ] && case $family in inet | inet6) echo "$dev $addr" ;; esac
	done
	echo end
	;;
whence) echo "${1:-}" ;;
release) uname -sr; "$nft" --version; id -u ;;
*) fail "no such request" ;;
esac
