# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016,SC2154,SC2034 # scripts that the host is to expand; name: image-tests/host sets it; in_memory: for nspawn.sh
# A host in a container, on which podman runs the container image. podman's own generator makes the services from
# deploy/podman/, as docs/containers.md describes. Key process and workers share one container; podman-keys.sh separates
# them.
#
# podman keeps its files in memory, because the host's tree is an overlay, and an overlay cannot be stacked on that.
# podman uses no control groups: they need bpf and controllers that a host in a container may not have. So limits on
# memory and tasks have no effect, as in nspawn-257.

. image-tests/hosts/nspawn.sh
in_memory=(/dev/shm:mode=1777 /var/lib/containers:mode=0700)
keys_apart=''

# Adds drop-ins for both forms, with the mount for settings from docs/containers.md.
prepare_more() {
    local unit folder
    printf '[containers]\nkeyring = false\n' >"$root/etc/containers/containers.conf"
    mkdir -p "$root/etc/vitrine" "$root/srv/gemini"
    for unit in vitrine vitrine-keys; do
        folder=$root/etc/containers/systemd/$unit.container.d
        mkdir -p "$folder"
        printf '[Container]\nPidsLimit=\nPodmanArgs=--cgroups=disabled\n' >"$folder/zz-host.conf"
    done
    echo Volume=/etc/vitrine:/etc/vitrine:ro >>"$root/etc/containers/systemd/vitrine.container.d/zz-host.conf"
}

# Runs the commands of docs/containers.md, with the archive already on the host.
kind_attach() {
    local file
    copy "$name" "$1" /var/tmp/vitrine.oci.tar
    for file in deploy/podman/*; do
        copy "$name" "$file" /var/tmp
    done
    kind_run sh -euc '
        cd /var/tmp
        podman load --quiet --input vitrine.oci.tar >/dev/null
        rm vitrine.oci.tar
        install -m 0644 vitrine.container /etc/containers/systemd/vitrine.container
        install -m 0644 vitrine.socket /etc/systemd/system/vitrine.socket
        if [ -n "$1" ]; then
            install -m 0644 keys.conf /etc/containers/systemd/vitrine.container.d/keys.conf
            install -m 0644 vitrine-keys.container /etc/containers/systemd/vitrine-keys.container
            install -m 0644 vitrine-keys.socket /etc/systemd/system/vitrine-keys.socket
        fi
        systemctl daemon-reload
        systemctl start vitrine.socket vitrine.service' sh "$keys_apart"
}
