# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Tests amfora in a terminal. It sends the client certificate that its configuration names for a host.
: "${home:?}" "${start:?}" "${all:?}" "${port:?}"
# shellcheck source=image-tests/clients/terminal.sh
. image-tests/clients/terminal.sh
trap leave_terminal EXIT

mkdir "$home/amfora" "$home/downloads"
# amfora crashes with a nil pointer unless both tables exist.
configure() { # [VISITOR]
    cat >"$home/amfora/config.toml" <<TOML
[a-general]
auto_redirect = true
downloads = "$home/downloads"
[auth.certs]
${1:+"\"localhost:$port\" = \"$all/$1.pem\""}
[auth.keys]
${1:+"\"localhost:$port\" = \"$all/$1.key\""}
TOML
}

configure
open amfora "$start"
expect "the start page" "The front door" 20 /
terminal send-keys 1
expect "the server requests a certificate" "This folder needs a client certificate" 60 /members/
terminal send-keys Enter
terminal send-keys 2
if shows "That file could not be displayed"; then
    terminal send-keys Right Enter
fi
expect_large "a complete large file" "$home/downloads/large.gz"
shows "Download complete" && terminal send-keys Enter
terminal send-keys 3
expect "a host that is not served" "This host is not served here" 53 /
terminal send-keys Enter
terminal send-keys 4
expect "a folder without its slash" "The hall of mirrors" 31 /hall 20 /hall/
terminal send-keys 1
expect "a redirect of .meta" "A letter that moved" 31 /old/letter.gmi 20 /new/letter.gmi
terminal send-keys 1
expect "a listing" "cup.txt (21 B" 20 /shelf/
terminal send-keys 1
expect "a file of the listing" "A cup of blue glass." 20 /shelf/cup.txt

configure ada
open amfora "${start}members/"
expect "a certificate that is on the list" "The room of the members" 20 /members/
configure bob
open amfora "${start}members/"
expect "a certificate that is not on the list" "This certificate is not on the access list" 61 /members/
