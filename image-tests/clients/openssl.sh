# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Tests the exact bytes of responses with openssl s_client.
: "${home:?}" "${start:?}" "${port:?}" "${all:?}"

ask() { # URL [S_CLIENT-OPTION...]
    local url=$1 host=${1#gemini://}
    shift
    printf '%s\r\n' "$url" | timeout 60 openssl s_client -quiet -connect "127.0.0.1:$port" -servername "${host%%:*}" \
        "$@" >"$home/reply" 2>"$home/words"
}

shows() { # TEXT
    if grep -aqF -- "$1" "$home/reply"; then
        return 0
    fi
    head -n 20 "$home/reply" "$home/words"
    return 1
}

# Follows the redirect of the last response.
follow() {
    local target
    target=$(sed -n '1s/^31 \([^\r]*\)\r$/\1/p' "$home/reply")
    ask "gemini://localhost:$port$target"
}

ask "$start"
expect "the start page" "# The front door" 20 /
ask "${start}members/"
expect "the server requests a certificate" "60 This folder needs a client certificate" 60 /members/
ask "${start}members/" -cert "$all/ada.pem" -key "$all/ada.key"
expect "a certificate that is on the list" "# The room of the members" 20 /members/
ask "${start}members/" -cert "$all/bob.pem" -key "$all/bob.key"
expect "a certificate that is not on the list" "61 This certificate is not on the access list" 61 /members/
ask "${start}large.gz"
sed '1d' "$home/reply" >"$home/large.gz"
expect_large "a complete large file" "$home/large.gz"
ask "gemini://elsewhere.test:$port/"
expect "a host that is not served" "53 This host is not served here" 53 /
ask "${start}hall"
follow
expect "a folder without its slash" "# The hall of mirrors" 31 /hall 20 /hall/
ask "${start}old/letter.gmi"
follow
expect "a redirect of .meta" "# A letter that moved" 31 /old/letter.gmi 20 /new/letter.gmi
ask "${start}shelf/"
expect "a listing" "=> cup.txt cup.txt (21 B" 20 /shelf/
ask "${start}shelf/cup.txt"
expect "a file of the listing" "A cup of blue glass." 20 /shelf/cup.txt
