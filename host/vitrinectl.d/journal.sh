# SPDX-License-Identifier: GPL-3.0-or-later
# Makes sure that an interrupted change is completed or undone.

# Records a change before it begins; finish removes the record. Whatever ends vitrinectl between the two (a signal, a
# full disk, a power failure), the next call finds the record.
begin() { # WHAT FROM TO
    note journal "$1"$'\n'"$2"$'\n'"$3"
    doomed=''
    # After a power failure, this unit calls vitrinectl recover at boot, if there is a record.
    systemctl --quiet is-enabled vitrine-recover.service 2>/dev/null || systemctl --quiet enable vitrine-recover.service 2>/dev/null || :
}

finish() {
    forget journal
    tidy
}

# Is this process still a running vitrinectl? A killed one has no command line, and another process may have its number
# now.
is_vitrinectl() { # PROCESS
    [[ $1 =~ ^[0-9]+$ ]] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -q vitrinectl
}

# Removes what killed processes left.
sweep() {
    local file process
    for file in /var/tmp/vitrinectl.* /run/vitrinectl.*.* /run/systemd/system/vitrinectl.*.service.d "$portables"/.incoming.* "$memory"/.incoming.*; do
        process=${file##*/}
        process=${process#.incoming.}
        process=${process#vitrinectl.}
        process=${process%%.*}
        [ -O "$file" ] && [ ! -L "$file" ] && ! is_vitrinectl "$process" || continue
        rm -rf "$file" 2>/dev/null || :
    done
}

recovered=''
recover() {
    local what='' from='' to='' again=''
    sweep
    if [ ! -e "$memory/journal" ]; then
        tidy
        return
    fi
    { read -r what && read -r from && read -r to && read -r again; } <"$memory/journal" || :
    case $what in
        attach | upgrade | content | detach) ;;
        *)
            forget journal
            return
            ;;
    esac
    recovered=$what
    # Tries it only once: a change that crashes the whole host must not be repeated forever.
    note journal "$what"$'\n'"$from"$'\n'"$to"$'\nagain'
    # Waits until systemd has finished its earlier jobs.
    portablectl list >/dev/null 2>&1 || :
    systemctl daemon-reload
    "recover_$what" "$from" "$to" "$again"
    finish
}

recover_attach() { # - TO AGAIN
    if [ -z "$3" ] && [ "$(attached_image)" = "$2" ] && switch_to "$2"; then
        remember "$2" ''
        say "an attach was interrupted; it is now complete: $(basename "$2") serves"
    else
        undo_attach "$2"
        say 'an attach was interrupted; it has been undone, and no image is attached'
    fi
}

recover_upgrade() { # FROM TO AGAIN
    if [ -z "$3" ] && [ "$(attached_image)" = "$2" ] && switch_to "$2"; then
        remember "$2" "$1"
        forget failed
        say "an upgrade was interrupted; it is now complete: $(basename "$2") serves"
        return
    fi
    # Interrupted twice, or not ready: update does not try it again.
    [ "$(attached_image)" != "$2" ] && [ -z "$3" ] || note_failed "$2"
    switch_to "$1" || { show_log; say "neither image becomes ready; the port stays open, and systemd keeps trying"; }
    say "an upgrade was interrupted; it has been undone: $(basename "$1") serves as before"
}

recover_content() { # FROM TO AGAIN
    if [ -z "$3" ] && [ "$(shown_content)" = "$2" ] && show_content "$2"; then
        keep_content "$2"
        say "a change of capsules was interrupted; it is now complete, showing ${2:-those in the image of the server}"
    else
        # Interrupted twice, or not ready: it is not fetched again.
        [ -z "$2" ] || { [ "$(shown_content)" != "$2" ] && [ -z "$3" ]; } || note_failed "$2"
        show_content "$1" || show_log
        say 'a change of capsules was interrupted; it has been undone, and the previous capsules are shown'
    fi
}

recover_detach() { # IMAGE
    take_away "$1"
    say 'a detach was interrupted; it is now complete'
}
