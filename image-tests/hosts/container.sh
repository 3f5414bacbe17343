# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034 # name, folder: image-tests/host sets them; leader: it is for image-tests/host
# Functions shared by all hosts in a container.

become_container() {
    exec systemd-nspawn --quiet --register=no --keep-unit --machine="$name" --console=pipe --link-journal=no \
        --resolv-conf=off --timezone=off "$@"
}

# The container's init is the only child of systemd-nspawn.
find_leader() {
    leader=$(pgrep -P "$(fact machine)") && [ -n "$leader" ]
}

kind_run() {
    # At times during the start there is no init.
    find_leader || return 1
    nsenter --target "$leader" --mount --uts --ipc --pid --cgroup --net --root --wd \
        env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"
}

kind_network() {
    find_leader || return 1
    nsenter --target "$leader" --net "$@"
}
