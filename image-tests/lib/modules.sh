# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Modules of a kernel in the tools tree, for a first file system.

# Copies modules with all that they need, numbered in the order in which they have to be loaded; those that are built in
# are left out.
copy_modules() { # FOLDER KERNEL MODULE...
    local number=100 module modules
    modules=$(modprobe --set-version="$2" --show-depends --all "${@:3}") || return
    while read -r module; do
        number=$((number + 1))
        xz -dc "$module" >"$1/$number-$(basename "$module" .xz)" || return
    done < <(sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$modules" | awk '!seen[$0]++')
}
