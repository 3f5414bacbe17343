# SPDX-License-Identifier: GPL-3.0-or-later
# The command status.

well=yes
line() { # NAME VALUE...
    printf '  %-13s %s\n' "$1" "$(printable "${*:2}")"
}
trouble() { # NAME VALUE...
    well=no
    printf '  %-13s %s\n' "$1" "$red$(printable "${*:2}")$plain"
}

show_signature() { # IMAGE
    local words unit
    if words=$(trap leave EXIT && examine "$1" server 2>&1 && echo "$root_hash by $signer"); then
        line signature "good: root hash $words"
    else
        trouble signature "${words#vitrinectl: }"
    fi
    for unit in "${services[@]}"; do
        insists "$unit" "${words%% *}" ||
            trouble enforced "no: $unit would run an image whose signature is wrong; attach it with vitrinectl, and look for drop-ins with: systemctl cat $unit"
    done
}

show_interrupted() {
    local what='' from='' to=''
    [ -e "$memory/journal" ] || return 0
    { read -r what && read -r from && read -r to; } <"$memory/journal" || :
    # Without a lock it may be that this is going on right now.
    if flock -n /run/vitrinectl.lock true 2>/dev/null; then
        trouble interrupted "$what, from ${from:-nothing} to ${to:-nothing}; finish or undo it with: vitrinectl recover"
    else
        line 'under way' "$what, from ${from:-nothing} to ${to:-nothing}"
    fi
}

show_content_image() {
    local image words
    image=$(shown_content)
    [ -n "$image" ] || return 0
    if words=$(trap leave EXIT && examine "$image" content 2>&1); then
        line content "an image of its own, $image"
    else
        trouble content "${words#vitrinectl: }"
    fi
}

show_units() {
    local unit state text name
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
        fi
        if [ "$state" = active ]; then
            line "$name" "${text:-$state}"
        else
            trouble "$name" "$state; look at: journalctl --unit $unit"
        fi
        # Only our own profile belongs to our own units: those of systemd loosen them.
        case $unit in
            *.service)
                text=$(readlink "/etc/systemd/system.attached/$unit.d/10-profile.conf") || text=''
                [[ $text == */profile/$(profile)/service.conf ]] ||
                    trouble profile "$unit has the profile '${text:-none}' in place of $(profile); detach and attach with vitrinectl"
                ;;
        esac
    done
}

show_identity() { # HOST ORIGIN, with its certificate on standard input
    local fingerprint='' end='' seconds
    # Only the certificate's part is asked for; the key is not looked at.
    { IFS='=' read -r _ fingerprint && IFS='=' read -r _ end; } < <(openssl x509 -noout -fingerprint -sha256 -enddate 2>/dev/null) || :
    if [ -z "$end" ]; then
        trouble identity "$1 has a file that holds no certificate ($2); put the right one back, and look at: journalctl --unit vitrine-keys"
        return
    fi
    seconds=$(date -d "$end" +%s 2>/dev/null) || seconds=''
    if [ -n "$seconds" ] && [ "$seconds" -lt "$(date +%s)" ]; then
        trouble identity "$1 SHA-256 ${fingerprint//:/} ended $end ($2); it is still served, but clients warn of it or refuse it"
    else
        line identity "$1 SHA-256 ${fingerprint//:/} until $end ($2)"
    fi
}

show_identities() {
    local file name host words origin
    for file in /var/lib/private/vitrine/*.pem; do
        [ -e "$file" ] || continue
        host=$(basename "$file" .pem) origin=made name=identity.${host//:/-}.pem
        [ ! -e "/etc/credstore/$name" ] && [ ! -e "/etc/credstore.encrypted/$name" ] || origin='made; the given one is used'
        show_identity "$host" "$origin" <"$file"
    done
    for file in /etc/credstore/identity.*.pem; do
        [ -e "$file" ] || continue
        is_insisting || show_arrival "$file"
        host=$(basename "$file" .pem)
        show_identity "${host#identity.}" given <"$file"
    done
    for file in /etc/credstore.encrypted/identity.*; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        # Newer versions of systemd pass over what they cannot decrypt, and start the service without it.
        if ! words=$(systemd-creds decrypt "$file" - 2>&1 >/dev/null); then
            trouble identity "$file cannot be decrypted: ${words##*$'\n'}; encrypt it anew on this host with: systemd-creds encrypt --name=$name"
            continue
        fi
        show_arrival "$file"
        host=${name#identity.}
        [ "$host" = "${host%.pem}" ] ||
            show_identity "${host%.pem}" 'given, encrypted' < <(systemd-creds decrypt "$file" - 2>/dev/null)
    done
    # What the server itself says of them: why, only the key process knows.
    words=$(systemctl show --value --property=StatusText vitrine.service 2>/dev/null) || words=''
    [[ ! $words =~ ([0-9]+)' hosts refused' ]] ||
        trouble identity "${BASH_REMATCH[1]} hosts are refused, because their identities cannot be used; look at: journalctl --unit vitrine-keys"
}

show_exposure() {
    local unit score
    command -v systemd-analyze >/dev/null || return 0
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
            trouble trusts "$what was revoked here, but systemd still trusts it; remove that file"
        else
            line trusts "$what"
        fi
    done
    ! is_awaited || line announced "another certificate, SHA-256 $(fingerprint "$memory/announced.crt"); trust it with: vitrinectl trust --announced"
}

show_updates() { # IMAGE
    local how='by hand, with: vitrinectl update' known why='was left by a rollback' until='' at=''
    [ -n "$(source_of_updates)" ] || return 0
    ! systemctl --quiet is-enabled vitrine-update.timer 2>/dev/null || how='each day'
    line updates "from $(source_of_updates), $how"
    known=$(highest)
    [ "$(recall failed)" != "$known" ] || why='did not become ready'
    [ "$known" = "$(version_of "$1")" ] || line 'waits for' "a version newer than $known, which $why"
    read -r until at < <(recall heard) || :
    if [ -z "$until" ]; then
        line heard 'no list of versions yet; look now with: vitrinectl update'
    elif ! counts "$until"; then
        trouble heard "the last list of versions no longer counts since $until; newer ones may be withheld: look at journalctl --unit vitrine-update"
    elif [ $(($(date +%s) - at)) -gt $((silence * 86400)) ]; then
        trouble heard "nothing since $(date --utc --date="@$at" +%Y-%m-%d), for more than $silence days; look at: journalctl --unit vitrine-update"
    else
        line heard "a list of versions on $(date --utc --date="@$at" +%Y-%m-%d), which counts until $until"
    fi
}

status() {
    local image previous
    [ $# -eq 0 ] || refuse 64 "status takes nothing; see: vitrinectl --help"
    red='' plain=''
    if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
        red=$'\033[31m' plain=$'\033[0m'
    fi
    image=$(attached_image)
    [ -n "$image" ] || [ -e "$memory/journal" ] || refuse 75 "nothing is attached; use: vitrinectl attach IMAGE"
    echo "Vitrine, $(printable "$(basename "${image:-nothing attached}")")"
    show_interrupted
    [ -n "$image" ] || return 1
    previous=$(recall previous)
    show_signature "$image"
    show_content_image
    show_units
    show_identities
    show_exposure
    show_trusted
    if [ -n "$previous" ]; then
        line previous "$(basename "$previous")"
    fi
    show_updates "$image"
    [ "$well" = yes ]
}
