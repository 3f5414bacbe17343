# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the measurements: starts and stops servers on 127.0.0.1 with the same pages. `program` is the program under
# test. `server` and `port` belong to the server that is measured. Other servers may run at the same time.
: "${program:?}"

folder=$(mktemp -d)
server='' port=''
# Content and state folders for the next server under test.
content=$folder/capsules state=$folder/state
declare -A beside=() # process IDs and ports of the other servers, by name

stop_server() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
    server=''
}
# Keeps the current server running, under this name.
keep_beside() { # NAME
    beside[$1]="$server $port"
    server=''
}
turn_to() { # NAME
    read -r server port <<<"${beside[$1]}"
}
stop_beside() { # NAME
    turn_to "$1"
    stop_server
    unset "beside[$1]"
}
finish() {
    local name
    trap '' INT TERM
    stop_server
    for name in "${!beside[@]}"; do
        stop_beside "$name"
    done
    rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Everybody may read the files, because servers started by root change to another user.
make_capsule() {
    chmod 755 "$folder"
    mkdir -p "$folder/capsules/localhost" "$folder/state"
    head -c 1024 /dev/zero | tr '\0' x >"$folder/capsules/localhost/small.gmi"
    head -c 102400 /dev/urandom >"$folder/capsules/localhost/middle.bin"
    head -c 52428800 /dev/urandom >"$folder/capsules/localhost/large.bin"
    openssl req -config /dev/null -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -quiet -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>"$folder/log" ||
        { cat "$folder/log" >&2; return 1; }
    cat "$folder/certificate.pem" "$folder/key.pem" >"$folder/client.pem"
    printf '%s\n' 'max-connections = 20000' 'max-connections-per-address = 20000' 'max-connections-from-loopback = 20000' \
        'handshake-timeout = 10min' 'request-timeout = 10min' >"$folder/patient.conf"
}

# Makes pages that cost more: below eight folders with metadata, in a folder with 1,000 rules, and a listing of 50
# files. Then waits, because the server does not cache metadata that has just changed.
make_rules() {
    local capsule=$folder/capsules/localhost deep level
    mkdir -p "$capsule"/{1/2/3/4/5/6/7/8,many,listed}
    make_rules_file 1000 >"$capsule/many/.meta"
    deep=$capsule
    for level in 1 2 3 4 5 6 7 8; do
        deep=$deep/$level
        make_rules_file 10 >"$deep/.meta"
    done
    cp "$capsule/small.gmi" "$deep/"
    cp "$capsule/small.gmi" "$capsule/middle.bin" "$capsule/many/"
    touch "$capsule/listed/.directory-listing-ok" "$capsule"/listed/page-{1..50}.gmi
    sleep 3
}
make_rules_file() { # RULES
    seq -f 'page-%.0f.gmi: ;lang=en' "$1"
}

start_vitrine() { # [SERVE-OPTION...]
    "$program" serve --listen "127.0.0.1:$port" --content "$content" --state "$state" "$@" 2>"$folder/log.$port" &
    server=$!
}

start_molly-brown() {
    cat >"$folder/molly.conf" <<CONF
Port = $port
Hostname = "localhost"
CertPath = "$folder/certificate.pem"
KeyPath = "$folder/key.pem"
DocBase = "$folder/capsules/localhost"
AccessLog = "$folder/access.log"
ErrorLog = "$folder/error.log"
CONF
    molly-brown -c "$folder/molly.conf" >/dev/null 2>"$folder/log.$port" &
    server=$!
}

# openssl s_server does not support Gemini, so only its handshakes are measured.
start_openssl() {
    openssl s_server -accept "127.0.0.1:$port" -cert "$folder/certificate.pem" -key "$folder/key.pem" -www \
        -no_ticket -num_tickets 0 >/dev/null 2>"$folder/log.$port" &
    server=$!
}

# Starts a server on a free port, and waits until a handshake succeeds.
start() { # SERVER [OPTION...]
    local name=$1
    shift
    until port=$((20000 + RANDOM % 10000)) && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        :
    done
    "start_$name" "$@"
    for _ in {1..100}; do
        ! build/bench/load --port="$port" --handshakes --requests=1 --at-once=1 >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    cat "$folder/log"* >&2
    echo "bench: $name does not serve" >&2
    return 1
}

visit() { # LOAD-OPTION...
    build/bench/load --port="$port" ${server:+--process="$server"} "$@"
}

value() { # KEY: prints its value from the line on standard input
    sed -nE "s/.*\b$1=([0-9.]+).*/\1/p"
}
