# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016,SC2154,SC2034 # scripts that the host is to expand; name: image-tests/host sets it; in_memory: for nspawn.sh
# A host in a container, on which podman runs the container image: podman's own generator makes the services from
# deploy/podman/, as docs/containers.md says. Key process and workers share a container there (podman-keys.sh: not).
#
# podman has its files in memory, because overlay cannot lie on the overlay that the host's tree is. It gets no control
# groups, which need bpf and controllers that a host in a container may not have; so limits on memory and tasks do not
# hold there, as they do not for services of nspawn-257.

. image-tests/hosts/nspawn.sh
in_memory=(/dev/shm:mode=1777 /var/lib/containers:mode=0700)
keys_apart=''

# The lines of docs/containers.md, for an archive that is there.
kind_attach() {
    local units=(vitrine.container) file version
    version=$(cat mkosi.version)
    [ -z "$keys_apart" ] || units+=(vitrine-keys.container)
    copy "$name" "$1" /var/tmp/vitrine.oci.tar
    for file in deploy/podman/*; do
        copy "$name" "$file" /var/tmp
    done
    kind_run sh -euc '
        cd /var/tmp
        printf "[containers]\nkeyring = false\n" >/etc/containers/containers.conf
        podman load --quiet --input vitrine.oci.tar >/dev/null
        mkdir -p /etc/vitrine /srv/gemini
        install -D -m 0644 vitrine.socket /etc/systemd/system/vitrine.socket
        for unit; do
            install -D -m 0644 "$unit" "/etc/containers/systemd/$unit"
            mkdir -p "/etc/containers/systemd/$unit.d"
            printf "[Container]\nPidsLimit=\nPodmanArgs=--cgroups=disabled\n" >"/etc/containers/systemd/$unit.d/zz-host.conf"
        done
        echo Volume=/etc/vitrine:/etc/vitrine:ro >>/etc/containers/systemd/vitrine.container.d/zz-host.conf
        if [ -e /etc/containers/systemd/vitrine-keys.container ]; then
            install -m 0644 keys.conf /etc/containers/systemd/vitrine.container.d/keys.conf
            install -m 0644 vitrine-keys.socket /etc/systemd/system/vitrine-keys.socket
        fi
        rm vitrine.oci.tar
        systemctl daemon-reload
        systemctl start vitrine.socket vitrine.service' sh "${units[@]}"
}
