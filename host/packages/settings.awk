# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: awk -f host/packages/settings.awk server/man/vitrine.conf.5
# Writes the settings file for the packages: each setting's description from the man page, and its default after a "#".

function say(text,    words, count, i, line) {
    count = split(text, words, " ")
    line = "#"
    for (i = 1; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > 76) {
            print line
            line = "#"
        }
        line = line " " words[i]
    }
    print line
}

# Writes the setting that was just read completely.
function finish() {
    if (key == "")
        return
    print ""
    say(text)
    print "#" key " =" (value == "none" ? "" : " " value)
    key = ""
}

BEGIN {
    say("Settings of Vitrine, as vitrine.conf(5) describes them. Every line is the default. To change a setting, " \
        "remove the # before it, then run: vitrinectl reload")
}

/^\.It Ic / {
    finish()
    key = $3
    text = value = ""
    next
}
/^\.El/ { finish() }
key != "" {
    if (sub(/^\.Xr /, ""))
        $0 = $1 "(" $2 ")" ($3 == "" ? "" : $3)
    else if (sub(/^\.[A-Z][a-z] /, "") && NF == 2 && $2 ~ /^[.,]$/)
        $0 = $1 $2
    if ($1 == "Default:") {
        value = $2
        sub(/[.,]$/, "", value)
    }
    text = text " " $0
}
