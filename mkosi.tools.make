#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: mkosi.tools.make [LIST TREE]
# Makes the tools tree, mkosi.tools/: a Debian 13 with all that building and testing needs, the same on every host.
# With LIST (as mkosi.tools.packages: a package a line; "suite: NAME" and "also: NAME" say where from) another TREE.
# It is made once, beside its final place, and moved there when it is whole, so that a broken-off run leaves nothing
# that looks like a tree. A change of the list or of this script makes it anew.
set -eu
cd "$(dirname "$0")"

list=${1-mkosi.tools.packages}
tree=${2-mkosi.tools}
suite=$(sed -n 's/^suite: //p' "$list")
also=$(sed -n 's/^also: //p' "$list")
recipe=$(cat "$list" mkosi.tools.make | sha256sum | cut -d' ' -f1)

is_current() {
    [ "$(cat "$tree/.recipe" 2>/dev/null)" = "$recipe" ]
}

say() {
    echo "tools: $*" >&2
}

if is_current; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    say "making $tree/ needs root: run this once as root, for example: sudo make"
    exit 77
fi

# What is mounted there belongs to somebody else, and would be emptied.
if mountpoint -q "$tree"; then
    say "$tree/ is a mount and not the tree that is needed; unmount it, or mount one with the present list of packages"
    exit 73
fi

mkdir -p build "$(dirname "$tree")"
exec 9>build/tools.lock
if ! flock -n 9; then
    say "another run is making $tree/; waiting for it"
    flock 9
    if is_current; then
        exit 0
    fi
fi

if ! command -v mmdebstrap >/dev/null; then
    say "installing mmdebstrap with apt"
    apt-get install -y -q mmdebstrap >build/tools.log 2>&1 ||
        { apt-get update -q && apt-get install -y -q mmdebstrap; } >build/tools.log 2>&1 ||
        { say "apt could not install mmdebstrap; its words are in build/tools.log"; exit 69; }
fi

# The mirror is whatever this machine's apt uses for Debian itself. The variables are apt's own.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(SITE) $(LABEL) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    awk '$2 == "Debian" && $3 == "main" { print $1; exit }')
if [ -z "$mirror" ]; then
    say "apt on this machine knows no Debian mirror; add one to its sources (and run apt-get update)"
    exit 69
fi

packages=$(sed 's/#.*//; s/^[a-z]*: .*//' "$list" | tr -s ' \n' ',,' | sed 's/^,//; s/,$//')
temporary=$tree.new
rm -rf --one-file-system "$temporary"
trap 'rm -rf --one-file-system "$temporary"' EXIT
trap 'exit 130' INT TERM HUP

say "making $tree/ (Debian $suite, $(echo "$packages" | tr , '\n' | wc -l) packages and what they need; a minute or two)"
# A mirror that is a few days late is no fault here; what it brings is signed in any case.
mmdebstrap --variant=apt --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" --skip=output/dev "$suite" "$temporary" \
    "$mirror" ${also:+"deb $mirror $also main"} >&2
mkdir -p "$temporary/vitrine"
echo "$recipe" >"$temporary/.recipe"
rm -rf --one-file-system "$tree"
mv "$temporary" "$tree"
say "made $tree/"
