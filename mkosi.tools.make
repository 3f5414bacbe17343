#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: mkosi.tools.make [LIST TREE [STAGE]]
# Makes the tools tree, mkosi.tools/: a Debian 13 with all that building and testing needs, the same on every host.
# With LIST (as mkosi.tools.packages: a package a line; "suite: NAME" and "also: NAME" say where from) another TREE.
# It is made once, beside its final place, and moved there when it is whole, so that a broken-off run leaves nothing
# that looks like a tree. A change of the list or of this script makes it anew.
#
# With STAGE it holds the packages behind that "stage: NAME" of the list as well, and those of the stages before it.
# They are installed into the tree that is there, while it is used: so building need not wait for what tests need.
set -eu
cd "$(dirname "$0")"

list=${1-mkosi.tools.packages}
tree=${2-mkosi.tools}
stage=${3-}
suite=$(sed -n 's/^suite: //p' "$list")
also=$(sed -n 's/^also: //p' "$list")
log=build/tools-$(basename "$tree").log

# The stages from the first one, which has no name, to this one.
stages_to() { # [STAGE]
    [ -z "$1" ] || awk -v last="$1" '/^stage: / { print $2; if ($2 == last) exit }' "$list"
}

packages_of() { # [STAGE]
    awk -v wanted="$1" '/^stage: / { at = $2; next } !/^[a-z]*: / && at == wanted { sub(/#.*/, ""); print }' "$list" |
        xargs
}

recipe_of() { # [STAGE]
    { for each in '' $(stages_to "$1"); do packages_of "$each"; done; echo "$suite $also"; cat mkosi.tools.make; } |
        sha256sum | cut -d' ' -f1
}

# The tree's file that says how it was made, as far as this stage.
mark_of() { # [STAGE]
    echo "$tree/.recipe${1:+.$1}"
}

is_current() { # [STAGE]
    [ "$(cat "$(mark_of "$1")" 2>/dev/null)" = "$(recipe_of "$1")" ]
}

all_current() {
    for each in '' $(stages_to "$stage"); do
        is_current "$each" || return
    done
}

# What is mounted there belongs to somebody else, and would be emptied.
is_mounted() {
    at=$tree
    while [ "$at" != . ] && [ "$at" != / ]; do
        ! mountpoint -q "$at" || return 0
        at=$(dirname "$at")
    done
    return 1
}

# A tree of somebody else serves as well, when it is of the same suite and has the packages.
has_packages() {
    grep -qs "^VERSION_CODENAME=$suite\$" "$tree/etc/os-release" || return
    for each in '' $(stages_to "$stage"); do
        packages_of "$each"
    done | tr ' ' '\n' | sed 's,/.*,,' | sort -u >build/tools.wanted
    awk '/^Package: / { name = $2 } /^Status: install ok installed/ { print name }' "$tree/var/lib/dpkg/status" |
        sort -u | comm -13 - build/tools.wanted | grep . && return 1
    return 0
}

say() {
    echo "tools: $*" >&2
}

if all_current; then
    exit 0
fi
mkdir -p build "$(dirname "$tree")"
if is_mounted; then
    if missing=$(has_packages); then
        exit 0
    fi
    say "$tree/ is a mount and not the tree that is needed (missing: $(echo "$missing" | paste -sd' '))"
    say "unmount it, or mount one with the present list of packages"
    exit 73
fi
if [ "$(id -u)" -ne 0 ]; then
    say "making $tree/ needs root: run this once as root, for example: sudo make"
    exit 77
fi

exec 9>"build/tools-$(basename "$tree").lock"
if ! flock -n 9; then
    say "another run is making $tree/; waiting for it"
    flock 9
    if all_current; then
        exit 0
    fi
fi

if ! command -v mmdebstrap >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        say "mmdebstrap is missing here; install it with Debian's keyring, or build on Debian or Ubuntu, in a virtual machine or a container that may mount (podman run --privileged)"
        exit 69
    fi
    say "installing mmdebstrap with apt"
    apt-get install -y -q mmdebstrap debian-archive-keyring >"$log" 2>&1 ||
        { apt-get update -q && apt-get install -y -q mmdebstrap debian-archive-keyring; } >"$log" 2>&1 ||
        { say "apt could not install mmdebstrap; its words are in $log"; exit 69; }
fi

# The mirror is whatever this machine's apt uses for Debian itself; on another system, the one that mmdebstrap knows. The
# variables are apt's own.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(SITE) $(LABEL) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
    awk '$2 == "Debian" && $3 == "main" { print $1; exit }')
if [ -z "$mirror" ] && [ -n "$also" ]; then
    say "$tree/ needs $also besides $suite, and apt on this machine knows no Debian mirror; add one to its sources (and run apt-get update)"
    exit 69
fi

count() { # PACKAGES
    echo "$1" | tr ' ' '\n' | grep -c .
}

make_tree() { # PACKAGES
    say "making $tree/ (Debian $suite, $(count "$1") packages and what they need)"
    # A mirror that is a few days late is no fault here; what it brings is signed in any case. Should the machine lose
    # its power, the tree is made again: nothing has to wait for the disk. What takes room and serves nothing here is left
    # out: lists of packages stay compressed, no hardware is looked up, nothing is optimized at link time.
    mmdebstrap --variant=apt --aptopt='Apt::Install-Recommends "false"' --dpkgopt='force-unsafe-io' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/lib/udev/hwdb.d/*' --dpkgopt='path-exclude=/usr/libexec/gcc/*/lto1' \
        --aptopt='Acquire::GzipIndexes "true"' \
        --aptopt='Acquire::Check-Valid-Until "false"' --include="$(echo "$1" | tr ' ' ,)" \
        --skip=output/dev,cleanup/apt/lists \
        "$suite" "$temporary" ${mirror:+"$mirror"} ${also:+"deb $mirror $also main"} >&2
}

# What is only here for tests of this machine does not start.
add_to_tree() { # PACKAGES
    say "adding to $tree/: $(count "$1") packages and what they need"
    # shellcheck disable=SC2016,SC2086
    ./mkosi.tools.enter sh -euc 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
        chmod 0755 /usr/sbin/policy-rc.d
        export DEBIAN_FRONTEND=noninteractive INITRD=No
        apt-get install -q -y "$@" || { apt-get update -q; apt-get install -q -y "$@"; }
        apt-get clean
        rm /usr/sbin/policy-rc.d' sh $1 >"$log" 2>&1 9>&- ||
        { tail "$log" >&2; say "that failed; all of its words are in $log"; exit 69; }
}

temporary=$tree.new
rm -rf --one-file-system "$temporary"
trap 'rm -rf --one-file-system "$temporary"' EXIT
trap 'exit 130' INT TERM HUP

# One that was broken off while packages were added is as good as none.
if ! is_current '' || grep -qs unfinished "$tree"/.recipe.*; then
    make_tree "$(packages_of '')"
    mkdir -p "$temporary/vitrine"
    recipe_of '' >"$temporary/.recipe"
    rm -rf --one-file-system "$tree"
    mv "$temporary" "$tree"
    say "made $tree/"
fi
for each in $(stages_to "$stage"); do
    is_current "$each" && continue
    echo unfinished >"$(mark_of "$each")"
    add_to_tree "$(packages_of "$each")"
    recipe_of "$each" >"$(mark_of "$each")"
    say "added what $each needs"
done
