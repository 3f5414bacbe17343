# SPDX-License-Identifier: GPL-3.0-or-later
# Functions that run the program's own commands from the attached image, with the protections of one of its services.

# Settings for starting and supervising a service, which are dropped. All other settings restrict it, and are kept.
lifecycle='Type|NotifyAccess|OpenFile|Exec(Start|Stop|Reload|Condition)[A-Za-z]*|Watchdog[A-Za-z]*|Timeout[A-Za-z]*|Runtime[A-Za-z]*Sec'
lifecycle+='|Restart[A-Za-z]*|FileDescriptorStore[A-Za-z]*|LogRateLimit[A-Za-z]*|CPUScheduling[A-Za-z]*|RefreshOnReload|Sockets'
lifecycle+='|Standard[A-Za-z]*|OOMPolicy|PIDFile|RemainAfterExit|SuccessExitStatus'

# Prints the settings of a service and all its drop-ins, in the order in which they apply, without access to the key
# process.
protections() { # SERVICE
    systemctl cat "$1" 2>/dev/null | awk -v skip="^($lifecycle)[ \t]*=" '
        continued { continued = /\\$/; if (kept) print; next }
        /^\[/ { inside = /^\[Service\]/; next }
        !inside || /^[ \t]*([#;]|$)/ { next }
        { kept = $0 !~ skip && !/keys\.sock/; continued = /\\$/; if (kept) print }'
}

# Runs the program in a unit of its own, with the same file systems, user, credentials and filters as the service. The
# unit has our standard output, and returns the program's exit status.
run_inside() { # SERVICE ARGUMENT...
    local service=$1 unit=vitrinectl.$BASHPID status=0 words
    local -a environment=()
    shift
    [ -n "$(attached_image)" ] || refuse 75 "no image is attached; run: vitrinectl attach IMAGE"
    need_tool systemd-run systemd
    words=$(protections "$service")
    [[ $words == *RootImage=* ]] ||
        refuse 70 "systemd does not know the settings of $service; see: systemctl cat $service"
    drop_in=/run/systemd/system/$unit.service.d
    # The state folder still belongs to the service's dynamic user, which has the same name.
    [[ $words != *StateDirectory=* ]] || words="User=${service%.service}"$'\n'$words
    { mkdir -p "$drop_in" && printf '[Service]\n%s\n' "$words" >"$drop_in/50-$service.conf"; } 2>/dev/null ||
        refuse 73 "$drop_in cannot be written; free some space in /run and try again"
    [ -z "${NO_COLOR-}" ] || environment=(--setenv=NO_COLOR="$NO_COLOR")
    # With RootImage=, systemd-run knows that the program is not on the host.
    systemd-run --quiet --wait --pipe --collect --unit="$unit" --property=RootImage="$(attached_image)" \
        --property=RuntimeMaxSec=10min "${environment[@]}" \
        /usr/bin/vitrine "$@" || status=$?
    rm -rf "$drop_in"
    drop_in=''
    # systemd itself failed (systemd.exec(5)), not the program.
    [ "$status" -lt 200 ] ||
        refuse 70 "systemd could not run the program in its image (status $status); see: journalctl --unit $unit"
    return "$status"
}

check() { # [--strict]
    case $#:${1-} in 0: | 1:--strict) ;; *) refuse 64 "check accepts only --strict; see: vitrinectl --help" ;; esac
    run_inside vitrine.service check "$@" || return
}

fingerprint_of_hosts() { # [HOST]...
    local host file name
    local -a kept=() stored=()
    for host; do
        [[ $host =~ ^[^/-][^/]*$ ]] || refuse 64 "fingerprint takes host names, not '$host'; for a file, run: openssl x509 -noout -fingerprint -sha256 -in FILE"
    done
    for file in /etc/credstore/identity.*.pem /run/credstore/identity.*.pem /etc/credstore.encrypted/identity.*.pem; do
        name=${file##*/}
        name=${name#identity.}
        [ -e "$file" ] && { is_insisting || [ -e "/run/credentials/vitrine-keys.service/${file##*/}" ]; } && { [ $# -eq 0 ] || [[ " $* " == *" ${name%.pem} "* ]]; } || continue
        stored+=("/run/credentials/vitrinectl.$BASHPID.service/${file##*/}")
    done
    for host; do
        [[ " ${stored[*]} " == *"/identity.$host.pem "* ]] || kept+=("$host")
    done
    if [ $# -eq 0 ] || [ ${#kept[@]} -gt 0 ]; then
        run_inside vitrine-keys.service fingerprint "${kept[@]}" || return
    fi
    [ ${#stored[@]} -eq 0 ] || { echo 'given:'; run_inside vitrine-keys.service fingerprint "${stored[@]}"; }
}

renew() { # [--new-key [--announce]] HOST
    local word host=''
    for word; do
        case $word in
            --new-key | --announce) ;;
            -*) refuse 64 "unknown option $word; see: vitrinectl --help" ;;
            *) host=$word ;;
        esac
    done
    [ -n "$host" ] || refuse 64 "renew needs a host; see: vitrinectl --help"
    lock 5
    run_inside vitrine-keys.service renew "$@" || return
}
