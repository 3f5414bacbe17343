# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034 # version: image-tests/host sets it; the rest is for qemu.sh
# The virtual machine of qemu.sh, for arm64. Kinds with another processor (image-tests/lib/arm64.sh) set $processor and
# source this.

# shellcheck source=image-tests/hosts/qemu.sh
. image-tests/hosts/qemu.sh
# shellcheck source=image-tests/lib/arm64.sh
. image-tests/lib/arm64.sh

tree=build/trees/systemd-$version-arm64
virtual=$PWD/build/virtual-arm64-${processor:+$processor-}$version
choose_processor "${processor:-newest}" build/arm64 || fail "$unable"
qemu=$emulator
card=virtio-net-pci,romfile=
serial=ttyAMA0
clock=''
# Beside others, emulated processors without instructions for what a start computes have taken longer than 30 s.
patience='TimeoutStartSec=3min'

copy_shell() { # TARGET
    cp "$tree/usr/bin/busybox" "$1"
}
