# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Tests bombadillo in a terminal. It does not support client certificates.
: "${home:?}" "${start:?}"
# shellcheck source=image-tests/clients/terminal.sh
. image-tests/clients/terminal.sh
trap leave_terminal EXIT

mkdir "$home/downloads"
printf '%s\n' '[SETTINGS]' "savelocation=$home/downloads" >"$home/.bombadillo.ini"
open bombadillo "$start"
expect "the start page" "The front door" 20 /
terminal send-keys 1
expect "the server requests a certificate" "Client Certificate Required" 60 /members/
terminal send-keys 2
expect_large "a complete large file" "$home/downloads/large.gz"
terminal send-keys 3
expect "a host that is not served" "This host is not served here" 53 /
terminal send-keys 4
if shows "Follow redirect (y/n)"; then
    terminal send-keys y
fi
expect "a folder without its slash" "The hall of mirrors" 31 /hall 20 /hall/
terminal send-keys 1
if shows "Follow redirect (y/n)"; then
    terminal send-keys y
fi
expect "a redirect of .meta" "A letter that moved" 31 /old/letter.gmi 20 /new/letter.gmi
terminal send-keys 1
expect "a listing" "cup.txt (21 B" 20 /shelf/
terminal send-keys 1
expect "a file of the listing" "A cup of blue glass." 20 /shelf/cup.txt
