# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016,SC2154,SC2317 # name, folder, port, content, version: image-tests/host sets them
# A virtual machine with its own kernel. It has dm-verity, Landlock and the limits of control groups, which may be
# missing in a container. It is emulated, so it works on any machine. QEMU keeps writes to its disk in memory. Commands
# run over ssh, with a key that is made only for these machines.
#
# It boots only once. The state of the running machine is saved, and each host continues from that state.

# shellcheck source=image-tests/lib/modules.sh
. image-tests/lib/modules.sh

# Other kinds of machines override these (qemu-arm64.sh): the tree of the host, the folder for disk and state, the
# kernel from the tools tree, the modules needed to mount the disk, the emulator and machine type, the network card, the
# serial console, kernel parameters for the clock, and more settings for the services.
tree=build/trees/systemd-$version
virtual=$PWD/build/virtual-$version
flavour=cloud-amd64
initial_modules='virtio_pci virtio_blk ext4'
qemu='qemu-system-x86_64 -M q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off -cpu max -device vmgenid,guid=auto'
card=virtio-net-pci
serial=ttyS0
clock='tsc=unstable clocksource=hpet no_timer_check'
patience=''

# Makes the disk and the initramfs from the host's tree and a kernel of the tools tree. Does so again only if these
# change.
kind_prepare() {
    local release root=/run/root
    [ -e "$tree/.recipe" ] || fail "there is no tree for a host with systemd $version; make it with: make host-trees"
    recipe=$(cat "$tree/.recipe" /.recipe image-tests/hosts/qemu*.sh | sha256sum)
    if [ "$recipe" = "$(cat "$virtual/recipe" 2>/dev/null)" ]; then
        return
    fi
    rm -rf "$virtual"
    mkdir -p "$virtual" "$root"
    ssh-keygen -q -t ed25519 -N '' -C test -f "$virtual/key"
    release=$(echo /boot/vmlinuz-*-"$flavour")
    cp "$release" "$virtual/kernel"
    release=${release#/boot/vmlinuz-}

    mount -t tmpfs -o mode=0755 tmpfs "$root"
    mkdir -p "$root/upper" "$root/work" "$root/merged" "$root/initial/lib" "$root/initial/bin"
    mount -t overlay overlay -o "lowerdir=$PWD/$tree,upperdir=$root/upper,workdir=$root/work" "$root/merged"
    prepare_root "$root/merged" "$release"
    truncate -s 600M "$virtual/disk"
    mke2fs -q -t ext4 -O ^has_journal -d "$root/merged" "$virtual/disk"
    prepare_initial "$root/initial" "$release"
    freeze
    echo "$recipe" >"$virtual/recipe"
}

# Boots the machine and saves its state. It writes to the disk itself, so that disk and saved state match.
freeze() {
    local emulator console=/run/root/console monitor=/run/root/monitor
    mkfifo "$monitor.in" "$monitor.out"
    chosen='' port=''
    : >"$console"
    emulate setpriv --pdeathsig KILL -- off -chardev "pipe,id=monitor,path=$monitor" -mon chardev=monitor >"$console" 2>&1 &
    emulator=$!
    cat "$monitor.out" >/dev/null &
    until grep -q 'the host is up' "$console"; do
        # If this machine is busy for minutes, systemd in the virtual machine may time out and freeze.
        ! grep -q 'systemd.*: Freezing execution' "$console" || kill "$emulator"
        kill -0 "$emulator" 2>/dev/null || { cat "$console" >&2; fail "the virtual machine did not start; above is what it wrote"; }
        sleep 0.2
    done
    sleep 2 # let it finish its start, so that the hosts need not
    printf 'migrate file:%s\nquit\n' "$virtual/state" >"$monitor.in"
    if ! wait "$emulator" || [ ! -s "$virtual/state" ]; then
        fail "the state of the virtual machine could not be kept"
    fi
}

copy_shell() { # TARGET: copies the shell for the initramfs
    cp /bin/busybox "$1"
}

prepare_initial() { # FOLDER RELEASE
    # Include only the modules needed to mount the disk. All others are loaded from the disk.
    copy_shell "$1/bin/busybox"
    # shellcheck disable=SC2086 # several
    copy_modules "$1/lib" "$2" $initial_modules
    cat >"$1/init" <<INIT
#!/bin/busybox sh
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /lib/*.ko; do /bin/busybox insmod \$module; done
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
    cat >"$root/etc/systemd/system/host-shell.service" <<UNIT
[Unit]
After=network.service
[Service]
Type=notify
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -o UsePAM=no -o UseDNS=no -o PrintMotd=no -o PrintLastLog=no -o MaxSessions=64 -o ListenAddress=10.0.2.15 -o SetEnv=PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStartPost=/bin/sh -c 'echo the host is up >/dev/$serial'
KillMode=process
UNIT
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    echo "$version" >"$root/etc/hostname"
}

# Replaces this process with QEMU, started through COMMAND. SNAPSHOT is on (discard writes to the disk) or off. The
# kernel parameters in $clock make Linux use an emulated timer as its clock. Linux measures the speed of the processor's
# counter (TSC) at its start, and gets it wrong if this machine is busy.
emulate() { # COMMAND... -- SNAPSHOT [OPTION]...
    local before=() forward='' snapshot machine
    read -ra machine <<<"$qemu"
    while [ "$1" != -- ]; do
        before+=("$1")
        shift
    done
    snapshot=$2
    shift 2
    [ -z "$port" ] ||
        forward=",hostfwd=tcp:127.0.0.1:$port-10.0.2.15:$port,hostfwd=tcp:127.0.0.1:$chosen-10.0.2.15:22"
    exec "${before[@]}" "${machine[@]}" -name "${name:-frozen}" -accel tcg,thread=multi,tb-size=512 -smp 1 \
        -m 1G -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$virtual/kernel" -initrd "$virtual/initial" \
        -append "console=$serial net.ifnames=0 quiet loglevel=4 mitigations=off $clock random.trust_cpu=on \
            systemd.unit=host.target systemd.show_status=no" \
        -drive "if=none,id=disk,file=$virtual/disk,format=raw,snapshot=$snapshot" -device virtio-blk-pci,drive=disk \
        -device virtio-rng-pci \
        -netdev "user,id=net,restrict=on$forward" \
        -device "$card,netdev=net" -serial stdio "$@" </dev/null
}

kind_become() {
    [ -z "$content" ] || fail "a virtual machine cannot show a folder of this one; use the kind nspawn-257 for that"
    chosen=$(image-tests/lib/free-port) || exit
    echo "$chosen" >"$folder/shell"
    emulate -- on -incoming "file:$virtual/state"
}

# All commands share one ssh connection, because a handshake is slow on an emulated processor.
connect() { # OPTION... [COMMAND]
    ssh -F none -q -p "$(fact shell)" -i "$virtual/key" -o UserKnownHostsFile="$virtual/known" -o HostKeyAlias=known \
        -o BatchMode=yes -o ControlPath="$folder/control" "$@"
}

kind_run() {
    connect root@127.0.0.1 -- "$(printf '%q ' "$@")"
}

# The server listens on the same port as this machine, because it refuses requests that name another port. The watchdog
# gets a longer time, because the machine may pause for longer than the default when others run beside it.
serve_port() {
    kind_run sh -euc 'cd /etc/systemd/system
        mkdir -p vitrine.socket.d vitrine.service.d vitrine-keys.service.d
        printf "[Socket]\nListenStream=\nListenStream=0.0.0.0:%s\nListenStream=[::]:%s\n" "$1" "$1" >vitrine.socket.d/99-host.conf
        printf "[Service]\nWatchdogSec=60s\n%s\n" "$2" | tee vitrine.service.d/99-host.conf >vitrine-keys.service.d/99-host.conf' sh "$port" "$patience"
}

# The clock continues from the moment at which the state was saved.
set_clock() {
    kind_run date --set="@$(date +%s.%N)"
}

kind_is_up() {
    { [ -S "$folder/control" ] || { connect -f -N -M root@127.0.0.1 && set_clock; } } >/dev/null 2>&1 &&
        kind_run systemctl --quiet is-active host.target && serve_port
}

kind_network() {
    "$@"
}

kind_reach() { # PORT
    connect -O forward -R "127.0.0.1:$1:127.0.0.1:$1" root@127.0.0.1
}
