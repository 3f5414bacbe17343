# SPDX-License-Identifier: GPL-3.0-or-later
# Capsules in a separate image.

capsules_unit=/etc/systemd/system/vitrine.service.d/50-vitrinectl-content.conf

# Prints the image of capsules in use, or nothing if the capsules are in the server's image.
shown_content() {
    sed -n 's,^MountImages=\(.*\):/srv/gemini$,\1,p' "$capsules_unit" 2>/dev/null | tail -n 1
}

# Does not change the server's image. A rename switches all capsules at once.
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
    systemctl restart vitrine.service && is_ready
}

content() {
    local before
    copy=''
    [ $# -eq 1 ] || refuse 64 "content needs one image, or --none; see: vitrinectl --help"
    [ -n "$(attached_image)" ] || refuse 75 "no image of the server is attached; run: vitrinectl attach IMAGE"
    before=$(shown_content)
    [ "$1" = --none ] || take_in "$1" content "$memory"
    begin content "$before" "$copy"
    if show_content "$copy"; then
        finish
        [ "$1" = --none ] && echo "showing the capsules of the server's own image" || echo "showing the capsules of $1, root hash $root_hash"
        return
    fi
    show_log
    say "the server did not become ready with $1 (see the log above); going back"
    show_content "$before" || :
    finish
    refuse 70 "the previous capsules are shown again (see above)"
}
