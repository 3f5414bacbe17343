# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016 # scripts that the host is to expand
# shellcheck disable=SC2154 # kind, name: who takes this in sets them
# What the drill and the test of protections share: the image with the test build, the decoys on the host, and what the
# attempts are told of both. To be taken in by bash.

programs=${programs-build/breach}
results=$programs/$kind
image=$programs/vitrine_88.0.raw
remote=/opt/drill
state=/var/lib/private/vitrine
case $kind in
    podman*)
        image=$programs/vitrine_88.0.oci.tar
        state=/var/lib/containers/storage/volumes/vitrine-identities/_data
        ;;
esac

host() {
    image-tests/host run "$name" "$@"
}
shell() { # SCRIPT [ARGUMENT]...
    host sh -euc "$1" sh "${@:2}"
}
say() {
    echo "breach: $*" >&2
}

bake() {
    mkdir -p "$programs/tree/usr/bin" "$programs/tree/srv/gemini"
    # The sample would not be shown beside the identity of another host, which an attempt needs.
    cp -r mkosi.extra/usr/share/vitrine/sample/localhost "$programs/tree/srv/gemini/"
    cmp -s "$programs/vitrine" "$programs/tree/usr/bin/vitrine" && [ -e "$image" ] && [ -z "$(find mkosi.[!t]* units -newer "$image")" ] && return
    cp "$programs/vitrine" "$programs/tree/usr/bin/vitrine"
    rm -f "$image"
    mkosi --force --image-version=88.0 --output-directory="$programs" --extra-tree="$programs/tree:/" build >"$programs/log" 2>&1 ||
        { cat "$programs/log" >&2; exit 70; }
}

# The same for the container image: the program in it is the test build, and nothing else has changed.
bake_container() {
    local version layout=$programs/layout
    version=$(cat mkosi.version)
    rm -rf "$layout"
    skopeo --insecure-policy copy --quiet "oci-archive:build/vitrine_$version.oci.tar" "oci:$layout:$version"
    umoci insert --image "$layout:$version" "$programs/vitrine" /usr/bin/vitrine
    skopeo --insecure-policy copy --quiet "oci:$layout:$version" "oci-archive:$image.new:localhost/vitrine:$version"
    mv "$image.new" "$image"
}

# Decoys, and what all setups are told of them.
set_up() {
    shell 'mkdir -p "$1"' "$remote"
    for file in attempts decoys; do
        image-tests/host copy "$name" "build/breach/$file" "$remote"
    done
    # 203.0.113.0/24 is TEST-NET-3 (RFC 5737), nobody's address, here the host's own.
    shell 'cd "$1"
        ip link set lo up
        ip address add 203.0.113.5/32 dev lo
        mkdir -p work image content disk readonly jail
        install -m 0755 attempts image/program
        install -m 4755 attempts image/set-id
        echo "# decoy" >content/index.gmi
        chmod 1777 disk
        mount --bind content readonly
        mount -o remount,bind,ro readonly
        systemd-run --quiet --unit=decoys "$1/decoys" "$1/work" 203.0.113.5
        for i in $(seq 100); do [ -e work/surroundings ] && break; sleep 0.1; done
        grep -q . work/surroundings' "$remote"
}

# Limits of control groups hold only where the host has the controllers: a container on another machine may not.
limits() {
    if [[ $kind = qemu* ]]; then
        printf '%s\n' memory_limit=256 task_limit=200
    fi
    printf '%s\n' disk_limit=16 log_limit=12000 signing_limit=13000
}

plain_surroundings() { # PREFIX
    shell 'cat "$1/work/surroundings"' "$remote"
    limits | sed 's/memory_limit=.*/memory_limit=256/'
    printf '%s\n' "image_folder=$1/image" "content_folder=$1/content" "program=$1/image/program" \
        "setid_program=$1/image/set-id" "disk_folder=$1/disk" "readonly_mount=$1/readonly" descriptor_limit=16384
}

# A setup that people use, with the attempts in the place of the server.
run_plain() { # SETUP PROPERTY...
    local setup=$1 properties=() property prefix=$remote
    shift
    for property; do properties+=("--property=$property"); done
    say "$setup"
    plain_surroundings "$prefix" | shell 'cat >"$1/surroundings"; : >"$1/lines"; chmod 0644 "$1/surroundings"' "$remote"
    if [ "$setup" = article ]; then
        # A tree of its own, in which the server's program, its capsules and its key lie.
        shell 'cd "$1"; for folder in image content disk work; do mkdir -p "jail/$1/$folder"; done
            cp -r image content "jail/$1/"; chmod 1777 "jail/$1/disk"; chmod 4755 "jail/$1/image/set-id"
            cp attempts surroundings "jail/$1/"; cp -r work/. "jail/$1/work/" 2>/dev/null || :
            find "jail/$1/work" -type f ! -name "*key*" -delete' "$remote"
    fi
    host systemd-run --quiet --wait --unit="setup-$setup" --property="StandardOutput=file:$remote/lines" \
        --property=StandardError=null --property=TimeoutStopSec=5 --property=RuntimeMaxSec=300 "${properties[@]}" \
        "$remote/attempts" --surroundings "$remote/surroundings" </dev/null || say "$setup ended early"
    shell 'cat "$1/lines"' "$remote" >"$results.$setup"
}

# Where the real keys are, so that attempts can look for those: on the host, and where they may be for a worker.
# Processes 1 and 2 are the first ones of a container.
vitrine_surroundings() {
    shell 'cat "$1/work/surroundings"' "$remote" | grep -v '^key_\|^keys_\|^own_key\|^other_key'
    limits
    printf '%s\n' image_folder=/usr content_folder=/srv/gemini/localhost program=/usr/bin/vitrine setid_program=/usr/bin/vitrine disk_folder=/tmp \
        readonly_mount=/ descriptor_limit=16384
    shell 'key=$2/localhost.pem
        token=$(sed -n "s/^decoy_token=//p" "$1/work/surroundings")
        grep -q "$token" $key || echo "# $token" >>$key
        for file in "$2" /var/lib/vitrine /proc/1/root/var/lib/vitrine /proc/2/root/var/lib/vitrine \
            /proc/$(systemctl show --value --property=MainPID vitrine-keys.service)/root/var/lib/vitrine; do
            echo "key_file=$file/localhost.pem"
        done
        name_of() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d" " -f1; }
        echo "own_key_name=$(name_of $key)"
        # Of a host that is not served. With the owner and mode of the first, the key process takes it up at its start.
        other=$2/elsewhere.example.pem
        cp -p $key $other
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=elsewhere.example -days 100 \
            -addext subjectAltName=DNS:elsewhere.example -keyout /dev/stdout -out /dev/stdout 2>/dev/null >$other
        echo "other_key_name=$(name_of $other)"
        scalar=$(openssl pkey -in $key -noout -text | sed -n "/^priv:/,/^pub:/p" | grep "^ " | tr -d " :\n" | sed "s/^00\(.\{64\}\)$/\1/" | cut -c1-32)
        printf key_mark=
        for byte in $(echo "$scalar" | fold -w 2); do printf "%02x" $((0x$byte ^ 0xff)); done
        echo' "$remote" "$state"
}

start_host() {
    if [[ $kind = podman* ]]; then
        bake_container
    else
        bake
    fi
    build/breach/attempts --list >"$results.list"
    say "starting $kind"
    image-tests/host start "$kind" "$name" --apart --while=$$
    if [[ $kind = podman* ]]; then
        # The image has no capsules, as the other one has here.
        shell 'mkdir -p /srv/gemini'
        image-tests/host copy "$name" mkosi.extra/usr/share/vitrine/sample/localhost /srv/gemini
    fi
    image-tests/host attach "$name" "$image"
    set_up
}
