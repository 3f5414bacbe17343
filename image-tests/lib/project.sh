# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by tests that build in a copy of the project, because other tests use the build results here.

copy_project() { # FOLDER: copies sources and the key, and no build results
    mkdir -p "$1/build" && tar -cf - --exclude=./build --exclude=./mkosi.tools --exclude=./.git . | tar -C "$1" -xf -
}

# Checks that mkosi makes no image without a key, and says what to run. Without mkosi.sync, which checks for the key
# first, mkosi itself must fail. Deletes the key of PROJECT, which must be a copy. COMMAND runs mkosi there.
no_key_no_image() { # PROJECT COMMAND...
    local project=$1 words
    shift
    rm -f "$project/mkosi.key" "$project/mkosi.crt"
    words=$("$@" 2>&1) && { echo 'it built something'; return 1; }
    echo "$words"
    [[ $words == *'run: make key'* ]] || { echo 'it does not say what to run'; return 1; }
    printf '#!/bin/sh\n' >"$project/mkosi.sync"
    words=$("$@" 2>&1) && { echo 'it built something, without mkosi.sync'; return 1; }
    echo "$words"
    [[ $words == *'no verity key'* ]] && [ -z "$(find "$project/build" -name '*.raw')" ]
}
