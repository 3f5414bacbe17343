# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the measurements: servers on 127.0.0.1 with the same pages, one at a time, and the end of it all. `program`
# is the one under test.
: "${program:?}"

folder=$(mktemp -d)
server='' port=''

stop_server() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
    server=''
}
finish() {
    trap '' INT TERM
    stop_server
    rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Open to all: started by root, each of the servers becomes somebody else.
make_capsule() {
    chmod 755 "$folder"
    mkdir -p "$folder/capsules/localhost" "$folder/state"
    head -c 1024 /dev/zero | tr '\0' x >"$folder/capsules/localhost/small.gmi"
    head -c 102400 /dev/urandom >"$folder/capsules/localhost/middle.bin"
    head -c 52428800 /dev/urandom >"$folder/capsules/localhost/large.bin"
    openssl req -config /dev/null -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -quiet -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>"$folder/log" ||
        { cat "$folder/log" >&2; return 1; }
    printf '%s\n' 'max-connections = 20000' 'max-connections-per-address = 20000' 'max-connections-from-loopback = 20000' \
        'handshake-timeout = 10min' 'request-timeout = 10min' >"$folder/patient.conf"
}

start_vitrine() { # [SERVE-OPTION...]
    "$program" serve --listen "127.0.0.1:$port" --content "$folder/capsules" --state "$folder/state" "$@" 2>"$folder/log" &
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
    molly-brown -c "$folder/molly.conf" >/dev/null 2>"$folder/log" &
    server=$!
}

# It knows nothing of Gemini: only its handshakes count.
start_openssl() {
    openssl s_server -accept "127.0.0.1:$port" -cert "$folder/certificate.pem" -key "$folder/key.pem" -www \
        -no_ticket -num_tickets 0 >/dev/null 2>"$folder/log" &
    server=$!
}

# Starts a server on a port of its own, and waits until it shakes hands.
start() { # SERVER [OPTION...]
    local name=$1
    shift
    port=$((20000 + RANDOM % 10000))
    "start_$name" "$@"
    for _ in {1..100}; do
        ! build/bench/load --port="$port" --handshakes --requests=1 --at-once=1 >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    cat "$folder/log" >&2
    echo "bench: $name does not serve" >&2
    return 1
}

visit() { # LOAD-OPTION...
    build/bench/load --port="$port" ${server:+--process="$server"} "$@"
}

value() { # KEY, of the line on the standard input
    sed -nE "s/.*\b$1=([0-9.]+).*/\1/p"
}
