# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Tests kristall, a graphical browser, on a virtual display (Xvfb). xdotool simulates keyboard and mouse. The text of a
# page is read through the clipboard.
: "${home:?}" "${start:?}" "${all:?}" "${port:?}"
export HOME=$home XDG_RUNTIME_DIR=$home LANG=C.UTF-8
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME WAYLAND_DISPLAY
screen='' browser='' window=''

leave() {
    local process
    trap '' TERM
    for process in $browser $screen; do
        kill "$process" && wait "$process"
    done 2>/dev/null
}
trap leave EXIT

# Prints bytes, such as a certificate or key, in the format of QSettings.
as_bytes() {
    printf '"@ByteArray('
    od -An -v -tx1 | sed 's/ /\\x/g' | tr -d '\n'
    printf ')"'
}

# Prints the browser's configuration, as if its user had imported both identities.
configure() {
    local at=0 name
    printf '%s\n' '[Client%20Identities]' 'groups\size=1' 'groups\1\name=People' 'groups\1\identities\size=2'
    for name in ada bob; do
        at=$((at + 1))
        printf '%s\n' "groups\\1\\identities\\$at\\display_name=$name" \
            "groups\\1\\identities\\$at\\certificate=$(openssl x509 -in "$all/$name.pem" -outform DER | as_bytes)" \
            "groups\\1\\identities\\$at\\private_key=$(openssl rsa -in "$all/$name.key" -traditional -outform DER 2>/dev/null | as_bytes)"
    done
}

start_screen() {
    Xvfb -displayfd 3 -screen 0 1000x800x24 -nolisten tcp 3>"$home/display" 2>"$home/words" &
    screen=$!
    for _ in {1..300}; do
        if [ -s "$home/display" ]; then
            DISPLAY=:$(cat "$home/display")
            export DISPLAY
            return 0
        fi
        sleep 0.1
    done
    cat "$home/words"
    return 1
}

# Waits for a window and gives it the keyboard focus, because there is no window manager.
focus() { # TITLE (a regular expression)
    for _ in {1..300}; do
        window=$(xdotool search --onlyvisible --name "$1" 2>/dev/null | head -n 1)
        if [ -n "$window" ] && xdotool windowfocus "$window" 2>/dev/null &&
            [ "$(xdotool getwindowfocus 2>/dev/null)" = "$window" ]; then
            return 0
        fi
        sleep 0.1
    done
    echo "no window $1 gets the keyboard"
    return 1
}

visit_page() { # URL
    focus ' - Kristall$' && xdotool key ctrl+l type --delay 5 "$1" && xdotool key Return
}

# Copies the page to the clipboard until it contains the text. Overwrites the clipboard before each copy.
shows() { # TEXT
    local copy=''
    for _ in {1..100}; do
        echo nothing | xclip -i -selection clipboard >/dev/null 2>&1
        # Click beside the text, where there is no link.
        focus ' - Kristall$' && xdotool mousemove --window "$window" 700 500 click 1 key ctrl+a ctrl+c
        copy=$(timeout 2 xclip -o -selection clipboard 2>/dev/null)
        if grep -qF -- "$1" <<<"$copy"; then
            return 0
        fi
        sleep 0.2
    done
    xdotool search --onlyvisible --name . getwindowname %@
    echo "$copy"
    return 1
}

# Waits for the dialog for certificates, whose list has the focus. KEY moves from the group to an identity. Tab and
# Return press the button Use.
use_identity() { # KEY...
    focus '^Select client certificate$' && xdotool key "$@" Tab Tab Return
}

mkdir -p "$home/.config/kristall"
configure >"$home/.config/kristall/config.ini"
start_screen || say no "the screen"
kristall >"$home/words" 2>&1 &
browser=$!

visit_page "$start"
expect "the start page" "The front door" 20 /
visit_page "${start}members/"
focus '^Select client certificate$' && xdotool key Escape
expect "the server requests a certificate" "The page requested a authorized client certificate" 60 /members/
visit_page "${start}large.gz"
if shows "MIME type: application/gzip"; then
    xdotool key ctrl+s
    focus '^Save As$' && xdotool key ctrl+a type --delay 5 "$home/large.gz" && xdotool key Return
fi
expect_large "a complete large file" "$home/large.gz"
visit_page "gemini://elsewhere.test:$port/"
expect "a host that is not served" "This host is not served here" 53 /
visit_page "${start}hall"
expect "a folder without its slash" "The hall of mirrors" 31 /hall 20 /hall/
visit_page "${start}old/letter.gmi"
expect "a redirect of .meta" "A letter that moved" 31 /old/letter.gmi 20 /new/letter.gmi
visit_page "${start}shelf/"
expect "a listing" "cup.txt (21 B" 20 /shelf/
visit_page "${start}shelf/cup.txt"
expect "a file of the listing" "A cup of blue glass." 20 /shelf/cup.txt
visit_page "${start}members/"
use_identity Down
expect "a certificate that is on the list" "The room of the members" 60 /members/ 20 /members/
# A new tab begins without a certificate.
xdotool key ctrl+t
visit_page "${start}members/"
use_identity Down Down
expect "a certificate that is not on the list" "This certificate is not on the access list" 60 /members/ 61 /members/
