# SPDX-License-Identifier: GPL-3.0-or-later
# Removes everything that Vitrine installed on this host.

# The file's installer knows the other files: a package manager, or the list in the archive.
myself=$(readlink -f "${BASH_SOURCE[0]}")
prefix=$(dirname "$(dirname "$myself")")
installed=$prefix/share/vitrine/files

refuse_package() {
    ! dpkg-query --search "$myself" >/dev/null 2>&1 ||
        refuse 75 'vitrinectl belongs to the package vitrine-host; to remove it, run: apt purge vitrine-host'
    ! rpm --query --file "$myself" >/dev/null 2>&1 ||
        refuse 75 'vitrinectl belongs to the package vitrine-host; to remove it, run: dnf remove vitrine-host'
}

# Removes what was created on this host since the installation: state, settings, drop-ins.
remove_state() {
    systemctl --quiet disable --now vitrine-update.timer vitrine-content.timer 2>/dev/null || :
    systemctl stop vitrine-update.service vitrine-content.service "${fetchers[@]}" 2>/dev/null || :
    systemctl --quiet disable vitrine-recover.service 2>/dev/null || :
    systemctl clean --what=state vitrine-update.timer vitrine-content.timer "${fetchers[@]}" 2>/dev/null || :
    rm -rf "$memory" /etc/sysupdate.vitrine{,-content}.d /var/lib/{,private/}vitrine{,-content}-fetched /var/lib/vitrine-deploy \
        "$portables"/vitrine_*.raw /var/lib/systemd/timers/stamp-vitrine-{update,content}.timer /etc/vitrine \
        /etc/systemd/system/vitrine*.service.d /etc/systemd/system/vitrine*.socket.d \
        "$revoked_list" /etc/verity.d/vitrine-????????.crt /etc/verity.d/vitrine-????????.content.crt ||
        refuse 73 'some files cannot be removed (see above); make them writable, and uninstall again'
}

remove_identities() {
    rm -rf /var/lib/private/vitrine /var/lib/vitrine /etc/credstore/identity.* /etc/credstore.encrypted/identity.* ||
        refuse 73 'some identities cannot be removed (see above); make them writable, and uninstall again'
}

# This file goes last, so that an interrupted uninstall can run again.
remove_files() {
    local file folder
    local -a files
    mapfile -t files < <(grep -vxF -e "$myself" -e "$installed" "$installed" 2>/dev/null)
    for file in "${files[@]}" "$installed" "$myself"; do
        rm -f "$file" || refuse 73 "$file cannot be removed; make it writable, and uninstall again"
        folder=$(dirname "$file")
        # Folders that only Vitrine uses; common ones stay.
        while [[ $folder != /etc && $folder != "$prefix" && $folder != "$prefix"/@(sbin|lib|share|share/man) ]]; do
            rmdir "$folder" 2>/dev/null || break
            folder=$(dirname "$folder")
        done
    done
}

uninstall() { # [--identities]
    local image kept=()
    case $#:${1-} in
        0: | 1:--identities) ;;
        *) refuse 64 "uninstall accepts only --identities; see: vitrinectl --help" ;;
    esac
    refuse_package
    # An interrupted uninstall left only this file.
    [ -e "$installed" ] || ! compgen -G "${installed%/*}/*" >/dev/null ||
        refuse 78 "$installed, which lists the files to remove, is missing; unpack vitrine-host_VERSION.tar again, then uninstall"
    image=$(attached_image)
    if [ -n "$image" ]; then
        need_tool portablectl systemd-container
        begin detach "$image" ''
        take_away "$image"
    fi
    remove_state
    [ $# -eq 0 ] || remove_identities
    remove_files
    systemctl daemon-reload
    rm -f /run/vitrinectl.lock
    [ ! -e /srv/gemini ] || kept+=('pages in /srv/gemini')
    [ ! -e /var/lib/private/vitrine ] || kept+=('identities in /var/lib/private/vitrine')
    ! compgen -G '/etc/credstore*/identity.*' >/dev/null || kept+=('identities in /etc/credstore')
    echo "Vitrine is removed from this host"
    for image in "${kept[@]}"; do
        echo "kept: $image"
    done
}
