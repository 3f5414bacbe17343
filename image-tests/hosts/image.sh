# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # name, folder, port, content, image: image-tests/host sets them
# No host of services: the image by itself in a container, the server as its init. It shares the machine's network.

. image-tests/hosts/container.sh

kind_prepare() {
    :
}

kind_become() {
    local root=/run/host start size partitions
    [ -n "$image" ] || fail "say which image to boot: --image=IMAGE"
    # By its place in the image, so that no device nodes of partitions are needed; the loop device goes with the mount.
    # A command in the background could end after the exec below: systemd-nspawn would then have two children for ever.
    partitions=$(tools/partitions "$image" 2>/dev/null) || fail "$image has no partitions that sfdisk can find"
    read -r start size _ <<<"$partitions"
    mkdir -p "$root"
    mount -t erofs -o "ro,loop,offset=$start,sizelimit=$size" "$image" "$root"
    become_container --directory="$root" --read-only --boot --tmpfs=/var/lib/vitrine:mode=0700 \
        ${content:+--bind-ro="$content:/srv/gemini"} -- serve --listen "127.0.0.1:$port" --listen "[::1]:$port"
}

kind_is_up() {
    find_leader && ! port_free "$port"
}
