# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # name, folder, port, content, image: image-tests/host sets them
# The image itself, booted in a container with the server as its init. There is no host around it. It shares the network
# of this machine.

. image-tests/hosts/container.sh

kind_prepare() {
    :
}

kind_become() {
    local root=/run/host start size partitions
    [ -n "$image" ] || fail "say which image to boot: --image=IMAGE"
    # Mount the root partition by its offset, which needs no device nodes for partitions. The loop device disappears
    # with the mount. Do not use a process substitution here: it could outlive the exec below and stay a child of
    # systemd-nspawn.
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
