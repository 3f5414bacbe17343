# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # name, folder, port, content, version: image-tests/host sets them
# A host in a container: systemd-nspawn runs systemd as its init. Version 257 comes from the tools tree, the other
# versions from their own trees. The host writes nothing to a disk: its tree is the lower layer of an overlay in memory,
# in a mount namespace that ends with the container.
#
# Without --apart it shares the network of this machine, so its server listens on this machine's 127.0.0.1 and ::1. It
# uses images without dm-verity, because a container may have no device-mapper.

. image-tests/hosts/container.sh
in_memory=() # more folders of the host that need their own file system in memory

# Kinds of hosts that source this can override it.
prepare_more() {
    :
}

drop_in() {
    mkdir -p "$root/etc/systemd/system/$1.d"
    cat >"$root/etc/systemd/system/$1.d/99-${2-host}.conf"
}

# Sets up only what systemd needs to attach and run a portable service, so it starts in 0.2 seconds.
prepare_root() {
    local unit
    rm -rf "$root"/usr/lib/systemd/system/*.target.wants "$root"/etc/systemd/system/*.wants
    cat >"$root/etc/systemd/system/host.target" <<'UNIT'
[Unit]
Requires=basic.target
Wants=dbus.socket systemd-journald.socket systemd-creds.socket
After=basic.target dbus.socket
UNIT
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo "$name" >"$root/etc/hostname"

    drop_in vitrine.socket <<UNIT
[Socket]
ListenStream=
ListenStream=127.0.0.1:$port
ListenStream=[::1]:$port
UNIT
    for unit in vitrine.service vitrine-keys.service; do
        drop_in "$unit" <<'UNIT'
[Service]
RootImagePolicy=root=unprotected:=ignore
MountImagePolicy=root=unprotected:=ignore
RootHash=
MemoryPressureWatch=off
UNIT
    done
    if [ "$version" -lt 254 ]; then
        # systemd before 254 has no image policies. This variable turns dm-verity off.
        mkdir -p "$root/etc/systemd/system.conf.d"
        printf '[Manager]\nManagerEnvironment=SYSTEMD_DISSECT_VERITY_EMBEDDED=0\n' >"$root/etc/systemd/system.conf.d/host.conf"
    fi
    # The host has the /dev of this machine, read-only, so journald cannot create a missing /dev/log. The profiles of
    # systemd before 256 require it; make it optional.
    if [ ! -e /dev/log ] && [ ! -L /dev/log ]; then
        sed -i 's,^BindReadOnlyPaths=/dev/log ,BindReadOnlyPaths=-/dev/log ,' "$root"/usr/lib/systemd/portable/profile/*/service.conf
    fi
    if [ -n "$content" ]; then
        # An administrator writes the same drop-in to serve the host's own content instead of the image's.
        drop_in vitrine.service content <<'UNIT'
[Service]
BindReadOnlyPaths=/srv/gemini
UNIT
    fi
}

kind_prepare() {
    [ "$version" = 257 ] || [ -e "build/trees/systemd-$version/.recipe" ] ||
        fail "there is no tree for a host with systemd $version; make it with: make host-trees"
}

kind_become() {
    local root=/run/host/root tree=/
    if [ "$version" != 257 ]; then
        tree=$PWD/build/trees/systemd-$version
    fi
    mkdir -p /run/host
    mount -t tmpfs -o mode=0755 tmpfs /run/host
    mkdir /run/host/upper /run/host/upper/var /run/host/work "$root"
    # Hide the tree's /var/tmp with a whiteout: other programs that use the tree write files there.
    mknod /run/host/upper/var/tmp c 0 0
    mount -t overlay overlay -o "lowerdir=$tree,upperdir=/run/host/upper,workdir=/run/host/work" "$root"
    mkdir --mode=1777 "$root/var/tmp"
    prepare_root
    prepare_more
    mountpoint --fs-devno "$root" >"$folder/device"
    # Block devices of images appear in this machine's /dev, so the host needs it. It is read-only, so that the host
    # leaves nothing in it. Hide the console, which may be a real one.
    become_container --directory="$root" --boot --capability=CAP_NET_ADMIN,CAP_IPC_LOCK --bind-ro=/dev --bind=/dev/null:/dev/console \
        ${apart:+--private-network} ${content:+--bind-ro="$content:/srv/gemini"} "${in_memory[@]/#/--tmpfs=}" -- --unit=host.target
}

# The host shares the network of this machine.
kind_reach() {
    :
}

kind_is_up() {
    find_leader && kind_run systemctl --quiet is-active host.target 2>/dev/null
}
