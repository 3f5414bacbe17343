# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016 # scripts that the host is to expand
# shellcheck disable=SC2154 # the sourcing script sets kind and name
# Sourced by the drill and the test of protections: makes the image with the test build, sets up the decoys on the host,
# and writes the "surroundings", a file that tells the attempts where both are.

programs=${programs-build/breach}
results=$programs/$kind
foreign='' # another kind of machine, as mkosi names it
case $kind in
    qemu-arm64*)
        programs=build/arm64/${programs#build/}
        foreign=arm64
        ;;
esac
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
    # Copy the sample to the content: the server does not show the built-in sample if another host has an identity,
    # which an attempt needs.
    cp -r mkosi.extra/usr/share/vitrine/sample/localhost "$programs/tree/srv/gemini/"
    cmp -s "$programs/vitrine" "$programs/tree/usr/bin/vitrine" && [ -e "$image" ] && [ -z "$(find mkosi.[!t]* units -newer "$image")" ] && return
    cp "$programs/vitrine" "$programs/tree/usr/bin/vitrine"
    rm -f "$image"
    mkosi --force ${foreign:+"--architecture=$foreign"} --image-version=88.0 --output-directory="$programs" \
        --extra-tree="$programs/tree:/" build >"$programs/log" 2>&1 ||
        { cat "$programs/log" >&2; exit 70; }
}

# Makes a container image that differs from the real one only in the program, which is the test build.
bake_container() {
    local version layout=$programs/layout
    version=$(cat mkosi.version)
    rm -rf "$layout"
    skopeo --insecure-policy copy --quiet "oci-archive:build/vitrine_$version.oci.tar" "oci:$layout:$version"
    umoci insert --image "$layout:$version" "$programs/vitrine" /usr/bin/vitrine
    skopeo --insecure-policy copy --quiet "oci:$layout:$version" "oci-archive:$image.new:localhost/vitrine:$version"
    mv "$image.new" "$image"
}

# Sets up the decoys on the host, and the surroundings for all setups.
set_up() {
    shell 'mkdir -p "$1"' "$remote"
    for file in attempts decoys; do
        image-tests/host copy "$name" "${programs%/*}/breach/$file" "$remote"
    done
    host "$remote/attempts" --list >"$results.list"
    # 203.0.113.5 is in TEST-NET-3 (RFC 5737), which is reserved for documentation. Here it is an address of the host.
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

# Prints the limits that hold on this kind of host. A host in a container may lack the controllers for limits of control
# groups.
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

# Runs the attempts in a service with other settings that people commonly use.
run_plain() { # SETUP PROPERTY...
    local setup=$1 properties=() property prefix=$remote
    shift
    for property; do properties+=("--property=$property"); done
    say "$setup"
    plain_surroundings "$prefix" | shell 'cat >"$1/surroundings"; : >"$1/lines"; chmod 0644 "$1/surroundings"' "$remote"
    if [ "$setup" = article ]; then
        # This setup has its own root folder with the program, the content and the key.
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

# Prints the surroundings for Vitrine. They contain the places of the real keys, on the host and as a worker may see
# them, so that attempts can look for these. Processes 1 and 2 are the first ones of a container.
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
        # Make a key for a host that is not served. cp -p sets owner and mode, so that the key process loads it at its
        # start.
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
    mkdir -p "${results%/*}"
    say "starting $kind"
    image-tests/host start "$kind" "$name" --apart --while=$$
    if [[ $kind = podman* ]]; then
        # Unlike the disk image of the drill, the container image contains no capsules. Add one.
        shell 'mkdir -p /srv/gemini'
        image-tests/host copy "$name" mkosi.extra/usr/share/vitrine/sample/localhost /srv/gemini
    fi
    image-tests/host attach "$name" "$image"
    set_up
}
