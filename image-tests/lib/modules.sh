# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Copies kernel modules from the tools tree into an initramfs.

# Copies modules and their dependencies, and numbers them in the order in which to load them. Leaves out modules that
# are built into the kernel.
copy_modules() { # FOLDER KERNEL MODULE...
    local number=100 module modules
    modules=$(modprobe --set-version="$2" --show-depends --all "${@:3}") || return
    while read -r module; do
        number=$((number + 1))
        xz -dc "$module" >"$1/$number-$(basename "$module" .xz)" || return
    done < <(sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$modules" | awk '!seen[$0]++')
}
