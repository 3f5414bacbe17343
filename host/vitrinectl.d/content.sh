# SPDX-License-Identifier: GPL-3.0-or-later
# Capsules in a separate image: given as a file, or fetched.

capsules_unit=/etc/systemd/system/vitrine.service.d/50-vitrinectl-content.conf

# Prints the image of capsules in use, or nothing if the capsules are in the server's image.
shown_content() {
    sed -n 's,^MountImages=\(.*\):/srv/gemini$,\1,p' "$capsules_unit" 2>/dev/null | tail -n 1
}

# Mounts an image in the running server: from version 257 on, systemd puts it beneath what is mounted there, and then
# takes that away. A kernel before 6.5 cannot; the mounts there would pile up.
mount_content() { # IMAGE
    local main
    [ "$(systemd_version)" -ge 257 ] && is_ready || return 1
    systemctl mount-image --read-only vitrine.service "$1" /srv/gemini root:nosuid,nodev,noexec >/dev/null 2>&1 || return 1
    main=$(systemctl show --value --property=MainPID vitrine.service)
    [ "$(awk '$5 == "/srv/gemini"' "/proc/$main/mountinfo" | wc -l)" -eq 1 ]
}

# Does not change the server's image. All capsules change in one moment: when a rename has told systemd what to mount at
# each start, and the running server, which has it mounted by then, reloads. Its new workers see the new capsules; old ones
# finish what they began. Where that cannot be had, the server restarts.
show_content() { # IMAGE, or nothing
    local folder
    folder=$(dirname "$capsules_unit")
    if [ -n "$1" ]; then
        mkdir -p "$folder"
        printf '%s\n' '# Made by vitrinectl content.' '[Service]' "MountImages=$1:/srv/gemini" 'MountImagePolicy=root=signed' 2>/dev/null >"$capsules_unit.new" &&
            sync "$capsules_unit.new" && mv "$capsules_unit.new" "$capsules_unit" ||
            { rm -f "$capsules_unit.new"; say "$capsules_unit cannot be written; free some space there"; return 1; }
    else
        rm -f "$capsules_unit"
    fi
    [ ! -e "$folder" ] || sync "$folder"
    systemctl daemon-reload
    if [ -n "$1" ] && mount_content "$1"; then
        systemctl reload vitrine.service && ! is_reload_refused
    else
        systemctl restart vitrine.service && is_ready
    fi
}

# Whoever wants no image wants none fetched.
fetch_no_content() {
    about vitrine-content
    rm -rf "$transfers" || refuse 73 "$transfers cannot be removed; make it writable, and try again"
}

# Goes back if the server does not become ready.
exchange_content() { # BEFORE AFTER NAME
    begin content "$1" "$2"
    if show_content "$2"; then
        keep_content "$2"
        finish
        return
    fi
    [ -z "$2" ] || note_failed "$2"
    show_log
    say "the server did not become ready with $3 (see the log above); going back"
    show_content "$1" || :
    finish
    refuse 70 "the previous capsules are shown again (see above)"
}

keep_content() { # IMAGE, or nothing
    if [ -n "$1" ]; then
        note_highest "$1"
        forget content-failed
    else
        fetch_no_content
    fi
}

content() {
    local before
    copy=''
    [ $# -eq 1 ] || refuse 64 "content needs one image, --from=ADDRESS, --update, or --none; see: vitrinectl --help"
    [ -e "$memory/journal" ] || need_server # recover decides after an interruption
    case $1 in
        --update) update_content ''; return ;;
        --from=?*) update_content "${1#*=}"; return ;;
        --none) ;;
        -*) refuse 64 "content does not accept '$1', but one image, --from=ADDRESS, --update, or --none; see: vitrinectl --help" ;;
    esac
    lock 5
    recover
    need_server
    before=$(shown_content)
    [ "$1" = --none ] || take_in "$1" content "$memory"
    exchange_content "$before" "$copy" "$1"
    [ "$1" = --none ] && echo "showing the capsules of the server's own image" || echo "showing the capsules of $1, root hash $root_hash"
}

need_server() {
    [ -n "$(attached_image)" ] || refuse 75 "no image of the server is attached; run: vitrinectl attach IMAGE"
}

update_content() { # ADDRESS, or nothing
    local before known newest
    about vitrine-content
    fetch_newest "$1"
    need_server
    before=$(shown_content)
    known=$(highest)
    # If no image is shown any more, the last one is not too old.
    if [ -n "$known" ] && ! is_newer "$newest" "$known" && [[ $newest != "$known" || -n $before ]]; then
        if [ "$(recall content-failed)" = "$known" ]; then
            refuse 70 "the server did not become ready with capsules $known, which are not tried again; the capsules stay as they are until there are newer ones"
        fi
        echo "there is nothing newer than capsules $known"
        return
    fi
    take_newest
    exchange_content "$before" "$copy" "capsules $version"
    echo "showing capsules $version from $(source_of_updates)"
}
