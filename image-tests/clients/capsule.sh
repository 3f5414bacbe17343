# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the tests of clients: makes a capsule with all features to test, starts its server, and checks its log.
# `program` is the server program, `all` a folder for all files, and `client` the name of the client.
: "${program:?}" "${all:?}"

# The certificate also names elsewhere.test, which the server does not serve. So clients that compare names with the
# certificate still send the request.
make_identity() {
    mkdir -p "$all/credentials" "$all/state"
    openssl req -config /dev/null -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:elsewhere.test \
        -keyout "$all/credentials/identity.localhost.key" -out "$all/credentials/identity.localhost.pem" 2>/dev/null
}

# Makes client certificates for Ada, who is on the access list, and Bob, who is not. kristall supports only RSA.
make_visitors() {
    local name
    for name in ada bob; do
        openssl req -config /dev/null -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$name" \
            -keyout "$all/$name.key" -out "$all/$name.pem" 2>/dev/null
    done
}

# Links lead from the start page through all successful requests. Requests that end with a message of the client have
# their own links on the start page.
make_pages() {
    local capsule=$all/content/localhost
    mkdir -p "$capsule"/{hall,new,shelf,members}
    printf '%s\n' '# The front door' '=> members/ For members' '=> large.gz A large thing' \
        "=> gemini://elsewhere.test:$port/ Another house" '=> hall Into the hall' >"$capsule/index.gmi"
    printf '%s\n' '# The hall of mirrors' '=> /old/letter.gmi A letter' >"$capsule/hall/index.gmi"
    echo 'old/*: 31 /new/letter.gmi' >"$capsule/.meta"
    printf '%s\n' '# A letter that moved' '=> /shelf/ A shelf' >"$capsule/new/letter.gmi"
    echo 'What stands on the shelf' >"$capsule/shelf/.directory-listing-ok"
    echo 'A cup of blue glass.' >"$capsule/shelf/cup.txt"
    echo '# The room of the members' >"$capsule/members/index.gmi"
    echo "$(openssl x509 -in "$all/ada.pem" -outform DER | sha256sum | cut -d' ' -f1) Ada" >"$capsule/members/.access"
    # offpunk detects the type by the first bytes. It treats unknown types as HTML and then ends, so use gzip.
    head -c 12000000 /dev/urandom | gzip -1 >"$capsule/large.gz"
    digest=$(sha256sum <"$capsule/large.gz")
    export digest
}

serves() {
    for _ in {1..300}; do
        ! grep -q '^serving ' "$all/log" || return 0
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# Tries several ports, because other programs may use some of them.
start_server() {
    make_identity
    make_visitors
    # The server's processes drop root, so they need access to the folder.
    chmod 755 "$all"
    for _ in {1..20}; do
        port=$((20000 + RANDOM % 10000))
        make_pages
        CREDENTIALS_DIRECTORY=$all/credentials "$program" serve --listen "127.0.0.1:$port" --content "$all/content" \
            --state "$all/state" 2>"$all/log" &
        server=$!
        if serves; then
            start=gemini://localhost:$port/
            export start
            return 0
        fi
        stop_server
    done
    cat "$all/log"
    return 1
}

stop_server() {
    [ -z "${server-}" ] || { kill "$server"; wait "$server"; } 2>/dev/null
    server=''
}

# ---- the checks ----

# Waits until the log shows a response with STATUS for PATH since the previous step.
looked_at=0
answered() { # STATUS PATH
    for _ in {1..300}; do
        if tail -n "+$((looked_at + 1))" "$all/log" | grep -q "^worker [0-9]*: request status=$1 .* complete=yes .* path=\"$2\""; then
            return 0
        fi
        sleep 0.1
    done
    tail -n "+$((looked_at + 1))" "$all/log"
    echo "the server has not answered $1 for $2"
    return 1
}

# Each step begins on the page of the previous step, so stop at the first failure.
say() { # RIGHT NAME
    : "${client:?}"
    if [ "$1" != yes ]; then
        echo "FAIL $client: $2"
        exit 1
    fi
    echo "PASS $client: $2"
    looked_at=$(wc -l <"$all/log")
}

all_answered() { # [STATUS PATH]...
    while [ $# -gt 0 ]; do
        answered "$1" "$2" || return 1
        shift 2
    done
}

# Waits until the client shows TEXT and the server's log shows the responses.
expect() { # NAME TEXT [STATUS PATH]...
    local name=$1 text=$2 right=no
    shift 2
    if shows "$text" && all_answered "$@"; then
        right=yes
    fi
    say "$right" "$name"
}

# Waits until FILE is a complete copy of the large file.
expect_large() { # NAME FILE
    local right=no
    if answered 20 /large.gz; then
        for _ in {1..300}; do
            if [ -f "$2" ] && [ "$(sha256sum <"$2")" = "$digest" ]; then
                right=yes
                break
            fi
            sleep 0.1
        done
    fi
    [ "$right" = yes ] || ls -l "$(dirname "$2")"
    say "$right" "$1"
}
