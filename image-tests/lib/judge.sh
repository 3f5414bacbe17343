# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by test scripts: prints PASS or FAIL for each test, and sets $failed to 1 if one failed. Scripts may set
# $subject, which is printed before the name of each test.
# shellcheck disable=SC2034 # the sourcing script reads failed
failed=0 subject=''

judge() { # NAME COMMAND...: prints the command's output only if it fails
    local what=${subject:+$subject: }$1 words
    shift
    if words=$("$@" 2>&1); then
        echo "PASS $what"
    else
        echo "$words"
        echo "FAIL $what"
        failed=1
    fi
}
