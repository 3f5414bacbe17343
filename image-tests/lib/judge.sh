# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# What scripts that test have in common: a line with PASS or FAIL for each test, and in $failed whether one failed. $subject
# is what is tested, where the name of a test alone does not say it.
# shellcheck disable=SC2034 # failed is read by who sources this
failed=0 subject=''

judge() { # NAME COMMAND...: shows the command's words only when it fails
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
