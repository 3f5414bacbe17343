# SPDX-License-Identifier: GPL-3.0-or-later
# The commands that verify, attach, replace and detach images of the server.

verify() {
    local certificate=()
    [ $# -ge 1 ] && [ $# -le 2 ] || refuse 64 "verify needs one image; see: vitrinectl --help"
    if [ $# -eq 2 ]; then
        [[ $2 == --certificate=?* ]] || refuse 64 "verify accepts an image and --certificate=FILE, but not '$2'; see: vitrinectl --help"
        certificate=("${2#*=}")
    fi
    case $1 in
        *.raw) ;;
        SHA256SUMS | */SHA256SUMS) verify_release "$1" "${certificate[@]}"; return ;;
        *) [ ! -f "$1" ] || refuse 64 "$(basename "$1") is not the name of an image; images are named vitrine_VERSION.raw" ;;
    esac
    examine "$1" any "$1" "${certificate[@]}"
    case $kind in
        server) echo "$1: Vitrine $version, signed by $signer, root hash $root_hash" ;;
        content) echo "$1: capsules${version:+ $version}, signed by $signer, root hash $root_hash" ;;
    esac
}

attach() {
    local port holder
    [ $# -eq 1 ] || refuse 64 "attach needs one image; see: vitrinectl --help"
    [ -z "$(attached_image)" ] ||
        refuse 75 "$(attached_image) is already attached; to replace it, run: vitrinectl upgrade $1"
    need_profile
    take_in "$1" server "$portables"
    begin attach '' "$copy"
    if ! switch_to "$copy"; then
        show_log
        while read -r port holder; do
            say "port $port is in use by $holder; stop that program, and attach again"
        done < <(name_holders)
        name_missing_verity "$root_hash"
        undo_attach "$copy"
        finish
        refuse 70 "the services of $1 did not start, so it was detached again; their log is above"
    fi
    remember "$copy" ''
    finish
    echo "Vitrine $version is attached; see how it is with: vitrinectl status"
}

# Prints which processes use the ports that the socket could not get, one per line: port, name and process.
name_holders() {
    local port holder
    command -v ss >/dev/null || return 0
    ! systemctl --quiet is-active vitrine.socket || return 0
    for port in $(systemctl show --value --property=Listen vitrine.socket | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p' | sort -u); do
        holder=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:((\("[^"]*"\),pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
        [ -z "$holder" ] || echo "$port $(printable "$holder")"
    done
}

upgrade() {
    local before
    [ $# -eq 1 ] || refuse 64 "upgrade needs one image; see: vitrinectl --help"
    before=$(attached_image)
    [ -n "$before" ] || refuse 75 "there is no attached image to upgrade; run: vitrinectl attach $1"
    need_profile
    take_in "$1" server "$portables"
    [ "$copy" != "$before" ] || { remember_attached; echo "Vitrine $version is attached already, these very bytes"; return; }
    rehearse
    replace "$before" "$copy"
    echo "upgraded to Vitrine $version; the image before it stays for: vitrinectl rollback"
}

# Records an image that was attached without vitrinectl, or by an older one that was killed.
remember_attached() {
    local image
    image=$(attached_image)
    [ "$(recall present)" = "$image" ] || remember "$image" "$(recall previous)"
}

replace() { # BEFORE AFTER
    note_highest "$1"
    begin upgrade "$1" "$2"
    if switch_to "$2"; then
        remember "$2" "$1"
        forget failed
        finish
        return
    fi
    note_failed "$2"
    show_log
    say "the new image did not become ready (see the log above); going back to $1"
    if switch_to "$1"; then
        finish
        refuse 70 "the previous image, $(basename "$1"), serves again; nothing else has changed"
    fi
    show_log
    refuse 70 "neither image becomes ready; the port stays open, and systemd keeps trying; see: journalctl --unit 'vitrine*'"
}

rollback() {
    local before previous
    [ $# -eq 0 ] || refuse 64 "rollback takes no arguments; see: vitrinectl --help"
    before=$(attached_image)
    previous=$(recall previous)
    [ -n "$before" ] || refuse 75 "no image is attached; run: vitrinectl attach IMAGE"
    [ -z "$recovered" ] || refuse 75 "an interrupted change was finished or undone first (see above); if you still want to roll back, run again: vitrinectl rollback"
    [ -n "$previous" ] && [ -e "$previous" ] || refuse 75 "there is no previous image; to change to another one, run: vitrinectl upgrade IMAGE"
    examine "$previous" server
    replace "$before" "$previous"
    echo "went back to Vitrine $version; another rollback returns to $(basename "$before")"
}

detach() {
    local image
    [ $# -eq 0 ] || refuse 64 "detach takes no arguments; see: vitrinectl --help"
    [ "$recovered" != detach ] || return 0
    image=$(attached_image)
    [ -n "$image" ] || refuse 75 "no image is attached; to attach one, run: vitrinectl attach IMAGE"
    begin detach "$image" ''
    take_away "$image"
    echo "detached; identities stay in /var/lib/private/vitrine, settings in /etc/vitrine"
}

take_away() { # IMAGE
    if [ -n "$(attached_image)" ]; then
        portablectl detach --quiet --enable --now "$1" || refuse 70 "systemd could not detach $1; its message is above"
    fi
    systemctl --quiet disable vitrine-recover.service 2>/dev/null || :
    systemctl reset-failed vitrine.socket vitrine-keys.socket "${services[@]}" "${fetchers[@]}" vitrine-update.service vitrine-content.service 2>/dev/null || :
    systemctl clean --what=state "${fetchers[@]}" 2>/dev/null || :
    pin_root ''
    rm -f "$capsules_unit"
    rmdir "$(dirname "$capsules_unit")" 2>/dev/null || :
    systemctl daemon-reload
    settle
    rm -f "$portables"/vitrine_*+????????.raw
    # The record of the change is removed last.
    find "$memory" -mindepth 1 ! -name journal -delete 2>/dev/null || :
    rm -rf "$memory"
}
