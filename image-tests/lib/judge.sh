# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Shared by test scripts: prints a line with PASS or FAIL for each test, and sets $failed if one failed. $subject names
# what is tested, if the name of a test alone does not say it.
# shellcheck disable=SC2034 # failed is read by who sources this
failed=0 subject=''

judge() { # NAME COMMAND...: shows the command's output only if it fails
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
