# SPDX-License-Identifier: GPL-3.0-or-later
# The command status: shows what is in use and what is wrong. It changes nothing and never waits for another vitrinectl.
# It only writes a temporary copy of the image, to verify it.

well=yes
json=''
facts=()
faults=()
line() { # NAME VALUE...
    [ -n "$json" ] || printf '  %-13s %s\n' "$1" "$(printable "${*:2}")"
}
trouble() { # NAME VALUE...
    well=no
    faults+=("$(quoted "$1: ${*:2}")")
    [ -n "$json" ] || printf '  %-13s %s\n' "$1" "$red$(printable "${*:2}")$plain"
}

# For status --json; vitrinectl(8) lists the names.
fact() { # NAME VALUE-IN-JSON
    facts+=("\"$1\": $2")
}
quoted() { # TEXT: a string of JSON; null for an empty one
    local text
    [ -n "$1" ] || { echo null; return; }
    text=$(printable "$1")
    text=${text//\\/\\\\}
    echo "\"${text//\"/\\\"}\""
}
members() { # INDENTATION MEMBER...: with commas between them
    local indentation=$1 at
    shift
    for ((at = 1; at <= $#; at++)); do
        printf '%s%s' "$indentation" "${!at}"
        [ "$at" -eq $# ] || echo ,
    done
    echo
}
listed_facts() { # OPENING CLOSING MEMBER...: an object or a list
    [ $# -gt 2 ] || { echo "$1$2"; return; }
    printf '%s\n%s\n  %s' "$1" "$(members '    ' "${@:3}")" "$2"
}

show_signature() { # IMAGE
    local words unit enforced=true
    if words=$(trap leave EXIT && examine "$1" server 2>&1 && echo "$root_hash by $signer"); then
        line signature "good: root hash $words"
        fact signature '"good"'
        fact root_hash "$(quoted "${words%% *}")"
    elif [ ! -e "$1" ]; then
        trouble signature "the file of the image is gone: $1; the server keeps running until it is stopped; to put the file back, run: vitrinectl upgrade IMAGE"
        fact signature '"gone"'
    elif [[ $words == *'no room in '* || $words == *'cannot write to '* || $words == *' is missing on this host'* ]]; then
        trouble signature "cannot be checked: ${words#vitrinectl: }"
        fact signature '"unchecked"'
    else
        trouble signature "${words#vitrinectl: }"
        fact signature '"bad"'
    fi
    for unit in "${services[@]}"; do
        insists "$unit" "${words%% *}" ||
            { enforced=false; trouble enforced "no: $unit would run an image with a wrong signature; attach with vitrinectl, and look for drop-ins with: systemctl cat $unit"; }
    done
    fact enforced "$enforced"
}

show_interrupted() {
    local what='' from='' to=''
    [ -e "$memory/journal" ] || return 0
    { read -r what && read -r from && read -r to; } <"$memory/journal" || :
    fact interrupted "$(quoted "$what")"
    # If another vitrinectl holds the lock, the change is in progress right now.
    if flock -n /run/vitrinectl.lock true 2>/dev/null; then
        trouble interrupted "$what, from ${from:-nothing} to ${to:-nothing}; to finish or undo it, run: vitrinectl recover"
    else
        line 'under way' "$what, from ${from:-nothing} to ${to:-nothing}"
    fi
}

show_content_image() {
    local image words
    image=$(shown_content)
    fact content "$(quoted "$image")"
    fact content_version "$(quoted "$(version_of "$image")")"
    [ -n "$image" ] || return 0
    if words=$(trap leave EXIT && examine "$image" content 2>&1); then
        line content "an image of its own, $image"
    else
        trouble content "${words#vitrinectl: }"
    fi
}

# Shows what the server counted since it started, from its status text.
show_counters() { # TEXT
    local number name
    local -a counters=()
    fact sample "$([[ $1 == *'shows the sample'* ]] && echo true || echo false)"
    fact reload_refused "$([[ $1 == *'Not reloaded'* ]] && echo true || echo false)"
    if [[ $1 =~ Serving\ ([0-9]+)\ capsules?\ with\ ([0-9]+)\ workers?\;\ (.*)$ ]]; then
        counters=("\"capsules\": ${BASH_REMATCH[1]}" "\"workers\": ${BASH_REMATCH[2]}")
        while read -r number name; do
            name=${name#requests } name=${name#connections } name=${name% down}
            [[ $number =~ ^[0-9]+$ && $name =~ ^[a-z]+$ ]] && counters+=("\"$name\": $number")
        done < <(tr ',' '\n' <<<"${BASH_REMATCH[3]}")
    fi
    fact counters "$(listed_facts '{' '}' "${counters[@]}")"
}

show_units() {
    local unit state text name holder
    for unit in vitrine.socket vitrine.service vitrine-keys.service; do
        case $unit in
            *.socket) name=port ;;
            vitrine.*) name=server ;;
            *) name=keys ;;
        esac
        state=$(systemctl show --value --property=ActiveState "$unit")
        text=$(systemctl show --value --property=StatusText "$unit" 2>/dev/null) || text=''
        if [ "$unit" = vitrine.socket ]; then
            text=$(systemctl show --value --property=Listen "$unit" | sed 's/ (Stream)//' | paste -s -d ' ')
            fact listens "$(quoted "$text")"
        fi
        if [ "$state" = active ]; then
            line "$name" "${text:-$state}"
        else
            trouble "$name" "$state; see: journalctl --unit $unit"
            [ "$unit" != vitrine.socket ] || while read -r text holder; do
                trouble port "port $text is in use by $holder; stop that program, then run: systemctl start vitrine.socket"
            done < <(name_holders)
        fi
        fact "$name" "$(quoted "$state")"
        [ "$name" != server ] || show_counters "$text"
        [[ $text != *'Not reloaded'* ]] ||
            trouble reload "the last one was refused, and the old state stays; to see why, run: vitrinectl reload"
        # Our units need our own profile: those of systemd loosen them.
        case $unit in
            *.service)
                text=$(readlink "/etc/systemd/system.attached/$unit.d/10-profile.conf") || text=''
                [[ $text == */profile/$(profile)/service.conf ]] ||
                    trouble profile "$unit has the profile '${text:-none}' instead of $(profile); detach and attach with vitrinectl"
                ;;
        esac
    done
}

# portablectl puts links for units that start at boot beside the attached units, where systemctl is-enabled does not
# look.
show_boot() {
    local folder
    for folder in /etc/systemd/system.attached /etc/systemd/system; do
        if [ -e "$folder/sockets.target.wants/vitrine.socket" ]; then
            line 'at boot' 'starts'
            fact at_boot true
            return
        fi
    done
    trouble 'at boot' 'does not start; to change that, run: systemctl enable vitrine.socket vitrine-keys.socket vitrine.service'
    fact at_boot false
}

# ---- identities ----

# Prints SHA-256, beginning and end of a certificate on standard input, in one line. Ignores a key after it.
read_certificate() {
    openssl x509 -noout -fingerprint -sha256 -startdate -enddate 2>/dev/null | sed 's/^[^=]*=//; 1s/://g' |
        paste -s -d '|'
}

# Lists the identities there: for each host the words of read_certificate, or - if a file contains no certificate.
declare -A lies_made lies_given
look_at() { # FILE
    local words
    words=$(read_certificate <"$1")
    echo "${words:--}"
}

find_identities() {
    local file name words
    for file in /var/lib/private/vitrine/*.pem; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .pem)
        lies_made[$name]=$(look_at "$file")
    done
    for file in /etc/credstore/identity.*.pem /run/credstore/identity.*.pem; do
        [ -e "$file" ] || continue
        is_insisting || show_arrival "$file"
        name=${file##*/identity.}
        lies_given[${name%.pem}]=$(look_at "$file")
    done
    for file in /etc/credstore.encrypted/identity.*; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        # Newer versions of systemd skip what they cannot decrypt, and start the service without it.
        if ! words=$(systemd-creds decrypt "$file" - 2>&1 >/dev/null); then
            trouble identity "$file cannot be decrypted: ${words##*$'\n'}; encrypt it again on this host with: systemd-creds encrypt --name=$name"
            continue
        fi
        show_arrival "$file"
        name=${name#identity.}
        [ "$name" = "${name%.pem}" ] ||
            lies_given[${name%.pem}]=$(look_at <(systemd-creds decrypt "$file" - 2>/dev/null))
    done
}

# Finds an address where the server can be asked as clients do, not a port where a load balancer must speak first.
find_way() {
    local address proxies
    proxies=$(sed -n 's/^[ \t]*proxy-ports[ \t]*=//p' /etc/vitrine/vitrine.conf 2>/dev/null) || proxies=''
    for address in $(systemctl show --value --property=Listen vitrine.socket | sed -n 's/ (Stream)//p'); do
        [[ " ${proxies//,/ } " != *" ${address##*:} "* ]] || continue
        address=${address/#0.0.0.0:/127.0.0.1:}
        way=${address/#\[::\]:/[::1]:}
        return
    done
    way=''
}

# Asks which certificate clients get. Sets used: the words of read_certificate; refused; or nothing if it cannot be
# known (and unserved for a host without a capsule).
ask_identity() { # HOST
    local name=(-servername "$1") words
    used=''
    [ -n "$way" ] || return 0
    [ "$1" != default ] || name=(-noservername)
    words=$(timeout 30 openssl s_client -connect "$way" "${name[@]}" 2>&1 </dev/null) || :
    used=$(read_certificate <<<"$words") || used=''
    [[ -n $used || $words != *'unrecognized name'* ]] || used=refused
    # After one timeout, do not wait for each host.
    [ -n "$used" ] || way=''
}

# Prints the hosts whose capsules the server sees.
served_hosts() {
    local main folder
    main=$(systemctl show --value --property=MainPID vitrine.service)
    [ "${main:-0}" != 0 ] || return 0
    for folder in "/proc/$main/root/srv/gemini"/*/; do
        folder=$(basename "$folder")
        [[ ! $folder =~ ^[a-z0-9][a-z0-9.-]*$ ]] || echo "$folder"
    done
}

judge_identity() { # HOST WORDS-OF-READ_CERTIFICATE ORIGIN IN-USE: true, false or null
    local mark begins ends seconds now
    IFS='|' read -r mark begins ends <<<"$2"
    identities+=("{\"host\": $(quoted "$1"), \"sha256\": $(quoted "$mark"), \"ends\": $(quoted "$(date --utc -d "$ends" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null)"), \"origin\": $(quoted "${3%%[;,]*}"), \"in_use\": $4}")
    now=$(date +%s)
    seconds=$(date -d "$ends" +%s 2>/dev/null) || seconds=$now
    if [ "$seconds" -lt "$now" ]; then
        trouble identity "$1 SHA-256 $mark ended $ends ($3); the server still uses it, but clients warn of it or reject it"
    elif [ "$(date -d "$begins" +%s 2>/dev/null || echo 0)" -gt "$now" ]; then
        trouble identity "$1 SHA-256 $mark is not valid before $begins ($3); clients reject it until then; check the clock of this host"
    else
        line identity "$1 SHA-256 $mark until $ends ($3)"
    fi
}

show_host() { # HOST; uses used, which ask_identity has set
    local made=${lies_made[$1]-} given=${lies_given[$1]-} origin='made'
    [ "$given" != - ] || trouble identity "$1 has a file that contains no certificate (given); restore the right one, then run: vitrinectl reload"
    [ "$made" != - ] || [ -n "$given" ] || trouble identity "$1 has a file that contains no certificate (made); restore it from your backup, then run: vitrinectl reload"
    case $used in
        refused)
            trouble identity "$1 is not served, because its identity cannot be used; see: journalctl --unit vitrine-keys"
            identities+=("{\"host\": $(quoted "$1"), \"sha256\": null, \"ends\": null, \"origin\": null, \"in_use\": false}")
            ;;
        unserved)
            [ -z "${given#-}" ] || judge_identity "$1" "$given" 'given; there is no capsule of this name' false
            [ -z "${made#-}" ] || judge_identity "$1" "$made" 'made; there is no capsule of this name' false
            ;;
        '')
            [ -z "${given#-}" ] || judge_identity "$1" "$given" given null
            [ -z "${made#-}" ] || judge_identity "$1" "$made" "made${given:+; the given one is used}" null
            ;;
        *)
            [ "$used" != "$given" ] || origin=given
            [ "$used" = "$given" ] || [ "$used" = "$made" ] || origin='in use, and in no file'
            judge_identity "$1" "$used" "$origin" true
            if [ -n "${given#-}" ] && [ "$used" != "$given" ]; then
                trouble identity "$1 has another one given, SHA-256 ${given%%|*}, which is not in use; to use it, run: vitrinectl reload"
            fi
            [ -z "${made#-}" ] || [ "$used" = "$made" ] || judge_identity "$1" "$made" 'made; the given one is used' false
            ;;
    esac
}

show_identities() {
    local host words served way used
    local -a identities=()
    find_identities
    find_way
    served=$(served_hosts)
    words=$(systemctl show --value --property=StatusText vitrine.service 2>/dev/null) || words=''
    [[ $words != *'shows the sample'* ]] || served=localhost
    while read -r host; do
        [ -n "$host" ] || continue
        used=unserved
        # For other names, the server shows the identity of some host, which says nothing. A non-ASCII name has its
        # capsule under its other spelling.
        if grep -qxF "$host" <<<"$served" || [[ $host == xn--* ]]; then
            used=''
            [[ $host =~ ^[0-9.]+$ ]] || ask_identity "$host"
        fi
        show_host "$host"
    done < <(printf '%s\n' "$served" "${!lies_made[@]}" "${!lies_given[@]}" | sort -u)
    fact identities "$(listed_facts '[' ']' "${identities[@]}")"
    # What the server itself reports; only the key process knows why.
    [[ ! $words =~ ([0-9]+)\ hosts?\ refused ]] ||
        trouble identity "the server refuses ${BASH_REMATCH[1]} of its hosts for want of a usable identity; see: journalctl --unit vitrine-keys"
}

show_exposure() {
    local unit score
    [ -z "$json" ] && command -v systemd-analyze >/dev/null || return 0
    for unit in "${services[@]}"; do
        score=$(systemd-analyze security --no-pager "$unit" 2>/dev/null | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
        line exposure "$unit ${score:-unknown} of 10"
    done
}

show_trusted() {
    local file mark what
    mapfile -t trusted < <(certificates)
    for file in "${trusted[@]}"; do
        mark=$(fingerprint "$file")
        what="$file SHA-256 ${mark:-unreadable}"
        [[ $file != *.content.crt ]] || what+=', for capsules'
        if [ -n "$mark" ] && is_revoked "$file"; then
            trouble trusts "$what was revoked, but systemd still trusts it; remove that file"
        else
            line trusts "$what"
        fi
    done
    ! is_awaited || line announced "another certificate, SHA-256 $(fingerprint "$memory/announced.crt"); trust it with: vitrinectl trust --announced"
}

show_updates() {
    local how known why='was left by a rollback' until='' at='' present timer=vitrine-update often='each day' label=updates
    [ "$component" = vitrine ] || { timer=vitrine-content often='each hour' label=capsules why='is not shown'; }
    fact "${label}_from" "$(quoted "$(source_of_updates)")"
    [ -n "$(source_of_updates)" ] || return 0
    how="by hand, with: $fetches"
    ! systemctl --quiet is-enabled "$timer.timer" 2>/dev/null || how=$often
    line "$label" "from $(source_of_updates), $how"
    known=$(highest)
    [ "$(recall "${records}failed")" != "$known" ] || why='did not become ready'
    present=$(version_of "$(present_image)")
    [ "$known" = "$present" ] || line 'waits for' "a version newer than $known, which $why"
    read -r until at < <(recall "${records}heard") || :
    if [ -z "$until" ]; then
        line heard "no list of versions yet; look now with: $fetches"
    elif ! counts "$until"; then
        trouble heard "the last list of versions expired on $until; newer ones may be withheld: see journalctl --unit $timer"
    elif [ $(($(date +%s) - at)) -gt $((silence * 86400)) ]; then
        trouble heard "nothing since $(date --utc --date="@$at" +%Y-%m-%d), for more than $silence days; see: journalctl --unit $timer"
    else
        line heard "a list of versions on $(date --utc --date="@$at" +%Y-%m-%d), which counts until $until"
    fi
}

status() { # [--json]
    local image
    case $#:${1-} in
        0:) ;;
        1:--json) json=yes ;;
        *) refuse 64 "status accepts only --json; see: vitrinectl --help" ;;
    esac
    red='' plain=''
    if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
        red=$'\033[31m' plain=$'\033[0m'
    fi
    image=$(attached_image)
    [ -n "$image" ] || [ -e "$memory/journal" ] || refuse 75 "no image is attached; run: vitrinectl attach IMAGE"
    [ -n "$json" ] || echo "Vitrine, $(printable "$(basename "${image:-nothing attached}")")"
    fact machine "$(quoted "$(uname -n)")"
    fact image "$(quoted "${image##*/}")"
    show_interrupted
    if [ -n "$image" ]; then
        fact version "$(quoted "$(version_of "$image")")"
        show_attached "$image"
    fi
    fact well "$([ "$well" = yes ] && echo true || echo false)"
    fact faults "$(listed_facts '[' ']' "${faults[@]}")"
    [ -z "$json" ] || printf '{\n%s\n}\n' "$(members '  ' "${facts[@]}")"
    [ "$well" = yes ]
}

show_attached() { # IMAGE
    local previous
    show_signature "$1"
    show_content_image
    show_boot
    show_units
    show_identities
    show_exposure
    show_trusted
    previous=$(recall previous)
    [ -z "$previous" ] || line previous "$(basename "$previous")"
    fact previous "$(quoted "${previous##*/}")"
    about vitrine
    show_updates
    about vitrine-content
    show_updates
}
