# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034 # version: image-tests/host sets it; the rest is for qemu.sh
# The same virtual machine for arm64. The processor has whatever QEMU can emulate; it signs addresses in the emulator's
# own way, because that of real processors would take most of its time.

# shellcheck source=image-tests/hosts/qemu.sh
. image-tests/hosts/qemu.sh

tree=build/trees/systemd-$version-arm64
virtual=$PWD/build/virtual-arm64-$version
flavour=cloud-arm64
qemu='qemu-system-aarch64 -M virt,gic-version=3 -cpu max,pauth-impdef=on'
card=virtio-net-pci,romfile=
serial=ttyAMA0
clock=''

copy_shell() { # TARGET
    cp "$tree/usr/bin/busybox" "$1"
}
