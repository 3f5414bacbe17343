# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The virtual machine of qemu-arm64.sh with another processor.

processor=cortex-a72
# shellcheck source=image-tests/hosts/qemu-arm64.sh
. image-tests/hosts/qemu-arm64.sh
