# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # name, folder, port, content, version: image-tests/host sets them
# A host in a container: a service manager as its init, in systemd-nspawn. That of version 257 is the tools tree's; others
# have trees of their own. Nothing of the host is on a disk: its tree is the lower layer of an overlay in memory, in a
# mount namespace that ends with the container.
#
# Unless it is to be apart, it shares the machine's network, so what it serves on 127.0.0.1 and ::1 is served there by the
# machine. Images are used there without their verity tree: the container cannot be relied on to have a device-mapper.

. image-tests/hosts/container.sh
in_memory=() # further folders of the host that are file systems of their own

# What a kind of host that takes this in has besides.
prepare_more() {
    :
}

drop_in() {
    mkdir -p "$root/etc/systemd/system/$1.d"
    cat >"$root/etc/systemd/system/$1.d/99-${2-host}.conf"
}

# What a service manager needs to attach and run a portable service, and nothing else: it is up in a fifth of a second.
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
        # No policy says there that the verity tree is not used.
        mkdir -p "$root/etc/systemd/system.conf.d"
        printf '[Manager]\nManagerEnvironment=SYSTEMD_DISSECT_VERITY_EMBEDDED=0\n' >"$root/etc/systemd/system.conf.d/host.conf"
    fi
    # The host's /dev is the machine's, and read-only: journald cannot make /dev/log in it where the machine has none, which
    # systemd before 256 has its profiles insist on.
    if [ ! -e /dev/log ] && [ ! -L /dev/log ]; then
        sed -i 's,^BindReadOnlyPaths=/dev/log ,BindReadOnlyPaths=-/dev/log ,' "$root"/usr/lib/systemd/portable/profile/*/service.conf
    fi
    if [ -n "$content" ]; then
        # What an administrator writes to show the host's own content instead of the image's.
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
    # What programs of the tree put into /var/tmp, now and later, is not the host's: a whiteout hides it.
    mknod /run/host/upper/var/tmp c 0 0
    mount -t overlay overlay -o "lowerdir=$tree,upperdir=/run/host/upper,workdir=/run/host/work" "$root"
    mkdir --mode=1777 "$root/var/tmp"
    prepare_root
    prepare_more
    mountpoint --fs-devno "$root" >"$folder/device"
    # Block devices of images come and go in the machine's own /dev, so the host needs that; read-only, so that it leaves
    # nothing in it. Only the console, which may be a real one, is hidden.
    become_container --directory="$root" --boot --capability=CAP_NET_ADMIN,CAP_IPC_LOCK --bind-ro=/dev --bind=/dev/null:/dev/console \
        ${apart:+--private-network} ${content:+--bind-ro="$content:/srv/gemini"} "${in_memory[@]/#/--tmpfs=}" -- --unit=host.target
}

# The network is the machine's.
kind_reach() {
    :
}

kind_is_up() {
    find_leader && kind_run systemctl --quiet is-active host.target 2>/dev/null
}
