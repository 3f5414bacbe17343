# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by tests that build in a copy of the project, as other tests use what is built here.

copy_project() { # FOLDER: sources and key, nothing that was built
    mkdir -p "$1/build" && tar -cf - --exclude=./build --exclude=./mkosi.tools --exclude=./.git . | tar -C "$1" -xf -
}

# Without a key, mkosi ends with a sentence that says what to run, and makes no image. It makes none either where nothing
# looks for the key before mkosi itself does. PROJECT is a copy, and loses its key.
no_key_no_image() { # PROJECT COMMAND...: what runs mkosi there
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
