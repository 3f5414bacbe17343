# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # the sourcing script sets kind, and uses the rest
# Sourced by check-update, check-content and update-drill: runs a web server with releases, and a host that downloads them.

version=$(cat mkosi.version)
variants=build/variants
folder=$(mktemp -d) || exit 70
web=$folder/web
name='' web_server=''
# shellcheck source=image-tests/lib/judge.sh
. image-tests/lib/judge.sh
later=$(date --utc --date='+95 days' +%Y-%m-%d) # default expiry date of lists

finish() {
    trap '' INT TERM HUP
    rm -f "$folder/visiting"
    [ -z "$web_server" ] || kill "$web_server" 2>/dev/null
    [ -z "$name" ] || image-tests/host stop "$name"
    rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ---- the web server ----

start_web_server() {
    local attempt
    : >"$folder/web.log"
    echo plain >"$folder/mode"
    image-tests/web-server "$web" "$folder/mode" >"$folder/web.log" 2>&1 &
    web_server=$!
    for attempt in {1..100}; do
        address=http://$(sed -n 's/^serving on \(127.0.0.1:[0-9]*\)$/\1/p' "$folder/web.log")
        [ "$address" = http:// ] || return 0
        sleep 0.1
    done
    echo "the web server did not start in $attempt attempts"
    cat "$folder/web.log"
    return 1
}

# Sets how the web server behaves (see image-tests/web-server).
behaves() { # MODE
    echo "$1" >"$folder/mode.new" && mv "$folder/mode.new" "$folder/mode"
}

# Replaces the files on the web server with an image, named like that of a release, and a signed list.
publish() { # IMAGE VERSION [UNTIL [KEY CERTIFICATE]]
    behaves plain
    rm -rf "${web:?}"/*
    cp "$1" "$web/vitrine_$2.raw"
    [ ! -e "$folder/next.crt" ] || cp "$folder/next.crt" "$web/"
    tools/release/list "$web" "${3:-$later}" "${4:-mkosi.key}" "${5:-mkosi.crt}"
}

# ---- the host ----

on_host() {
    image-tests/host run "$name" "$@"
}

updating() { # STATUS WORDS COMMAND...: checks the exit status, and that the output contains WORDS
    local status wanted=$1 expected=$2 words
    shift 2
    words=$(on_host "$@" 2>&1)
    status=$?
    echo "$words"
    echo "exit status $status, expected: $wanted, and: $expected"
    [ "$status" -eq "$wanted" ] && [[ $words == *"$expected"* ]]
}

visit() {
    printf 'gemini://localhost:%s/\r\n' "$port" |
        timeout 60 openssl s_client -connect "127.0.0.1:$port" -servername localhost -quiet -ign_eof 2>/dev/null | head -c 2
}

runs() { # VERSION
    local image
    image=$(on_host systemctl show --value --property=RootImage vitrine.service)
    echo "attached: $image"
    [[ $image == */vitrine_$1+????????.raw ]] && [ "$(visit)" = 20 ]
}

processes() {
    on_host systemctl show --property=MainPID,RootImage,NRestarts vitrine.service vitrine-keys.service
}

# Publishes an image. The update must refuse it with a message, remove it, and not restart the services.
refused() { # STATUS WORDS IMAGE VERSION
    local before after
    before=$(processes)
    publish "$3" "$4"
    updating "$1" "$2" vitrinectl update || return
    after=$(processes)
    [ "$before" = "$after" ] || { echo "before: $before, after: $after"; return 1; }
    keeps_nothing_of "$4"
}

keeps_nothing_of() { # VERSION
    ! on_host ls -A /var/lib/vitrine-fetched/ /var/lib/portables | grep -F "$1"
}

told_by_status() { # WORDS
    local words
    words=$(on_host vitrinectl status)
    echo "$words"
    [[ $words == *"$1"* ]]
}

exposed_little() { # UNIT SCORE
    on_host systemd-analyze security --no-pager --threshold="$2" "$1"
}

# Sends requests without a break while COMMAND runs. None may be lost.
visited_during() { # COMMAND...
    local status asked lost visitor
    touch "$folder/visiting"
    (
        asked=0 lost=0
        while [ -e "$folder/visiting" ]; do
            asked=$((asked + 1))
            [ "$(visit)" = 20 ] || lost=$((lost + 1))
        done
        echo "$asked $lost" >"$folder/visits"
    ) >/dev/null 2>&1 & # judge reads the output until its end; if interrupted, it must not wait for this process
    visitor=$!
    "$@"
    status=$?
    rm "$folder/visiting"
    wait "$visitor"
    read -r asked lost <"$folder/visits"
    echo "visits: $asked, turned away: $lost" | tee -a "$folder/told"
    [ "$status" -eq 0 ] && [ "$asked" -gt 3 ] && [ "$lost" -eq 0 ]
}
