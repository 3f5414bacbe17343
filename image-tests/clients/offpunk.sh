# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Tests offpunk in a terminal. It downloads pages into its cache and shows them from there. A user name in the URL
# selects the client certificate. For all statuses from 60 it says that a certificate is needed.
: "${home:?}" "${start:?}" "${all:?}" "${port:?}"
# shellcheck source=image-tests/clients/terminal.sh
. image-tests/clients/terminal.sh
trap leave_terminal EXIT

identities=$home/.local/share/offpunk/certs/localhost
mkdir -p "$identities"
for name in ada bob; do
    cp "$all/$name.pem" "$identities/$name.cert"
    cp "$all/$name.key" "$identities/$name.key"
done
# Waits for the prompt, because the pager would read text that is typed earlier.
command_line() { # TEXT
    for _ in {1..300}; do
        [ "$(terminal capture-pane -p 2>/dev/null | grep . | tail -n 1)" != 'ON>' ] || break
        sleep 0.1
    done
    type_line "$1"
}

open offpunk "$start"
expect "the start page" "The front door" 20 /
command_line 1
expect "the server requests a certificate" "ERROR while caching ${start}members/" 60 /members/
command_line "go gemini://ada@localhost:$port/members/"
expect "a certificate that is on the list" "The room of the members" 20 /members/
command_line "go gemini://bob@localhost:$port/members/"
expect "a certificate that is not on the list" "ERROR while caching gemini://bob@localhost" 61 /members/
command_line "go ${start}large.gz"
if shows "It cannot be rendered in your terminal"; then
    command_line "save $home/large.gz"
fi
expect_large "a complete large file" "$home/large.gz"
command_line "go gemini://elsewhere.test:$port/"
expect "a host that is not served" "This host is not served here" 53 /
command_line "go ${start}hall"
expect "a folder without its slash" "The hall of mirrors" 31 /hall 20 /hall/
command_line 1
expect "a redirect of .meta" "A letter that moved" 31 /old/letter.gmi 20 /new/letter.gmi
command_line 1
expect "a listing" "cup.txt (21 B" 20 /shelf/
command_line 1
expect "a file of the listing" "A cup of blue glass." 20 /shelf/cup.txt
