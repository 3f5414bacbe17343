# SPDX-License-Identifier: GPL-3.0-or-later
# New versions of the program.

update() {
    local from='' before present newest known
    case $#:${1-} in
        0:) ;;
        1:--from=?*) from=${1#*=} ;;
        *) refuse 64 "update accepts only --from=ADDRESS; see: vitrinectl --help" ;;
    esac
    [ -n "$(attached_image)" ] || [ -e "$memory/journal" ] || refuse 75 "there is no attached image to update; run: vitrinectl attach IMAGE"
    need_profile
    about vitrine
    fetch_newest "$from"
    before=$(attached_image)
    [ -n "$before" ] || refuse 75 "there is no attached image to update; run: vitrinectl attach IMAGE"
    remember_attached
    present=$(version_of "$before")
    known=$(highest)
    if ! is_newer "$newest" "$known"; then
        if [ "$(recall failed)" = "$known" ] && [ "$known" != "$present" ]; then
            refuse 70 "Vitrine $known did not become ready and is not tried again; Vitrine $present keeps running until there is a newer version"
        fi
        echo "there is nothing newer than Vitrine $known; Vitrine $present keeps running"
        return
    fi
    take_newest
    rehearse
    replace "$before" "$copy"
    echo "updated to Vitrine $version; the image before it stays for: vitrinectl rollback"
}
