# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016,SC2154,SC2317 # name, folder, port, content, version: image-tests/host sets them
# A virtual machine with a kernel of its own: dm-verity, Landlock and the limits of control groups are real here, which
# they need not be in a container. It is emulated, so that it works on any machine, and nothing of it is on a disk: what it
# writes to its disk, QEMU keeps in memory. Commands come in by ssh, with a key that is made for these machines alone.

virtual=$PWD/build/trees/virtual-$version

# The disk and the little file system from which the kernel starts; made once, from the tree and the kernel of the tools.
kind_prepare() {
    local tree=build/trees/systemd-$version release root=/run/root
    [ -e "$tree/.recipe" ] || fail "there is no tree for a host with systemd $version; make it with: make host-trees"
    recipe=$(cat "$tree/.recipe" /.recipe image-tests/hosts/qemu.sh | sha256sum)
    if [ "$recipe" = "$(cat "$virtual/recipe" 2>/dev/null)" ]; then
        return
    fi
    rm -rf "$virtual"
    mkdir -p "$virtual" "$root"
    ssh-keygen -q -t ed25519 -N '' -C test -f "$virtual/key"
    release=$(echo /boot/vmlinuz-*)
    cp "$release" "$virtual/kernel"
    release=${release#/boot/vmlinuz-}

    mount -t tmpfs -o mode=0755 tmpfs "$root"
    mkdir -p "$root/upper" "$root/work" "$root/merged" "$root/initial/lib" "$root/initial/bin"
    mount -t overlay overlay -o "lowerdir=$PWD/$tree,upperdir=$root/upper,workdir=$root/work" "$root/merged"
    prepare_root "$root/merged" "$release"
    truncate -s 600M "$virtual/disk"
    mke2fs -q -t ext4 -O ^has_journal -d "$root/merged" "$virtual/disk"
    prepare_initial "$root/initial" "$release"
    echo "$recipe" >"$virtual/recipe"
}

prepare_initial() { # FOLDER RELEASE
    # Only what reaches the disk; the rest is loaded from there.
    cp /bin/busybox "$1/bin/busybox"
    xz -dc "/usr/lib/modules/$2/kernel/drivers/block/virtio_blk.ko.xz" >"$1/lib/virtio_blk.ko"
    cat >"$1/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox insmod /lib/virtio_blk.ko
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /usr/lib/systemd/systemd
INIT
    chmod 0755 "$1/init"
    (cd "$1" && find . | cpio --quiet -o -H newc) >"$virtual/initial"
}

prepare_root() { # ROOT RELEASE
    local root=$1
    rm -rf "$root"/usr/lib/systemd/system/*.target.wants "$root"/etc/systemd/system/*.wants "$root"/etc/ssh/ssh_host_*
    mkdir -p "$root/usr/lib/modules" "$root/root/.ssh"
    cp -r "/usr/lib/modules/$2" "$root/usr/lib/modules/"
    install -m 0600 "$virtual/key.pub" "$root/root/.ssh/authorized_keys"
    ssh-keygen -q -t ed25519 -N '' -C test -f "$root/etc/ssh/ssh_host_ed25519_key"
    echo "known $(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" >"$virtual/known"
    ln -sf /dev/null "$root/etc/systemd/system/serial-getty@.service"
    cat >"$root/etc/systemd/system/host.target" <<'UNIT'
[Unit]
Requires=basic.target network.service host-shell.service
Wants=dbus.socket systemd-journald.socket systemd-creds.socket
After=basic.target network.service host-shell.service
UNIT
    cat >"$root/etc/systemd/system/network.service" <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/modprobe -a virtio_net loop erofs dm-verity
ExecStart=/usr/bin/ip link set lo up
ExecStart=/usr/bin/ip address add 10.0.2.15/24 dev eth0
ExecStart=/usr/bin/ip link set eth0 up
UNIT
    cat >"$root/etc/systemd/system/host-shell.service" <<'UNIT'
[Unit]
After=network.service
[Service]
Type=notify
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -o UsePAM=no -o UseDNS=no -o PrintMotd=no -o PrintLastLog=no -o MaxSessions=64 -o ListenAddress=10.0.2.15 -o SetEnv=PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStartPost=/bin/sh -c 'echo the host is up >/dev/ttyS0'
KillMode=process
UNIT
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    echo "$version" >"$root/etc/hostname"
}

kind_become() {
    [ -z "$content" ] || fail "a virtual machine cannot show a folder of this one; use the kind nspawn-257 for that"
    choose_port
    echo "$chosen" >"$folder/shell"
    exec qemu-system-x86_64 -name "$name" -M q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off \
        -accel tcg,thread=multi,tb-size=512 -cpu max -smp 1 -m 1G -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$virtual/kernel" -initrd "$virtual/initial" \
        -append "console=ttyS0 net.ifnames=0 quiet loglevel=4 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on systemd.unit=host.target systemd.show_status=no" \
        -drive "if=none,id=disk,file=$virtual/disk,format=raw,snapshot=on" -device virtio-blk-pci,drive=disk \
        -device virtio-rng-pci \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-10.0.2.15:$port,hostfwd=tcp:127.0.0.1:$chosen-10.0.2.15:22" \
        -device virtio-net-pci,netdev=net -serial stdio </dev/null
}

# One connection serves all commands: a handshake takes long on an emulated processor.
connect() { # OPTION... [COMMAND]
    ssh -F none -q -p "$(fact shell)" -i "$virtual/key" -o UserKnownHostsFile="$virtual/known" -o HostKeyAlias=known \
        -o BatchMode=yes -o ControlPath="$folder/control" "$@"
}

kind_run() {
    connect root@127.0.0.1 -- "$(printf '%q ' "$@")"
}

# The port is the same in there as out here: the server answers no request that names another.
serve_port() {
    kind_run sh -euc 'mkdir -p /etc/systemd/system/vitrine.socket.d
        printf "[Socket]\nListenStream=\nListenStream=0.0.0.0:%s\nListenStream=[::]:%s\n" "$1" "$1" >/etc/systemd/system/vitrine.socket.d/99-host.conf' sh "$port"
}

kind_is_up() {
    grep -q 'the host is up' "$folder/console" &&
        { [ -S "$folder/control" ] || connect -f -N -M root@127.0.0.1 >/dev/null 2>&1; } &&
        kind_run systemctl --quiet is-active host.target && serve_port
}

kind_network() {
    "$@"
}

kind_reach() { # PORT
    connect -O forward -R "127.0.0.1:$1:127.0.0.1:$1" root@127.0.0.1
}
