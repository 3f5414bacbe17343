# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by scripts that compare a page of docs/ with the tests. $folder is for temporary files, and $folder/tests
# lists each test as suite/name. The script must set $page, and define a function `faults` that prints the faults of a
# page and writes them to $folder/faults.
# shellcheck disable=SC2034,SC2154 # the sourcing script reads sources and sets page
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
mapfile -t sources < <(find server image-tests -name '*.c' -path '*test*' | sort)
sed -nE 's/^(Test|ParameterizedTest)\((.*[ *])?([a-z0-9_]+), ([a-z0-9_]+)[,)].*/\3\/\4/p' "${sources[@]}" >"$folder/tests"

noticed() { # WORDS SED-COMMAND: checks that a page changed by SED-COMMAND has the fault WORDS
    sed -E "$2" "$page" >"$folder/spoiled.md"
    ! cmp -s "$page" "$folder/spoiled.md" || { echo "this changes nothing: $2"; return 1; }
    faults "$folder/spoiled.md" >/dev/null
    grep -F -- "$1" "$folder/faults" || { cat "$folder/faults"; return 1; }
}
