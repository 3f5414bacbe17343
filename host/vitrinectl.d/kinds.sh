# SPDX-License-Identifier: GPL-3.0-or-later
# Differences between hosts: an older systemd, or a kernel without dm-verity.

oldest=252     # version of systemd
insisting=254  # the first version whose units can insist on the signature (RootImagePolicy=)

systemd_version() {
    systemctl --version | sed -n '1s/[^0-9]*\([0-9]*\).*/\1/p'
}

need_systemd() {
    local version
    version=$(systemd_version)
    [ "${version:-0}" -ge "$oldest" ] ||
        refuse 69 "this host has systemd ${version:-unknown}, but Vitrine needs $oldest or newer; upgrade the system (Debian 12 and RHEL 9 are new enough)"
}

is_insisting() {
    [ "$(systemd_version)" -ge "$insisting" ]
}

# The name of the portable profile for this host.
profile() {
    is_insisting && echo vitrine || echo vitrine-252
}

need_profile() {
    local folder name
    need_systemd
    name=$(profile)
    for folder in /etc /run /usr/local/lib /usr/lib; do
        [ ! -e "$folder/systemd/portable/profile/$name/service.conf" ] || return 0
    done
    refuse 78 "the profile $name, which makes systemd insist on the signature, is missing; unpack vitrine-host_VERSION.tar again, or run: make install"
}

pins=("${services[@]/%/.d/50-vitrinectl-root.conf}")
pins=("${pins[@]/#//etc/systemd/system/}")

# If units cannot insist on a signature, they can insist on the root hash, which was signed: writes the hash of this
# image into a drop-in of each service. On other hosts, or without an image, removes the drop-ins.
pin_root() { # IMAGE, or nothing
    local file hash=''
    if [ -n "$1" ] && ! is_insisting; then
        hash=$(trap leave EXIT && examine "$1" server >&2 && echo "$root_hash") || return
    fi
    for file in "${pins[@]}"; do
        if [ -z "$hash" ]; then
            rm -f "$file"
            rmdir "${file%/*}" 2>/dev/null || :
            continue
        fi
        mkdir -p "${file%/*}" && printf '%s\n' '# Made by vitrinectl: what was signed, for the image that is attached.' '[Service]' "RootHash=$hash" \
            2>/dev/null >"$file.new" && sync "$file.new" && mv "$file.new" "$file" && sync "${file%/*}" ||
            { rm -f "$file.new"; say "$file cannot be written; free some space there"; return 1; }
    done
}

# Would the service manager refuse an image that is not the signed one?
insists() { # UNIT ROOT-HASH
    local policy
    if ! is_insisting; then
        [ "$(systemctl show --value --property=RootHash "$1")" = "$2" ]
        return
    fi
    policy=$(systemctl show --value --property=RootImagePolicy "$1")
    # systemd 260 and newer add flags of the partition to the profile's root=signed.
    [[ $policy =~ ^root=signed(\+read-only-on|\+growfs-off|\+erofs)*(:|$) ]]
}

# Says if a missing dm-verity may be why services did not start.
name_missing_verity() { # ROOT-HASH
    insists vitrine.service "$1" || return 0
    modprobe --quiet dm-verity 2>/dev/null || :
    [ -e /sys/module/dm_verity ] && [ -e /dev/mapper/control ] ||
        say "this kernel has no dm-verity, which checks an image while it runs (most rented containers lack it); use a virtual machine, or serve a folder: see OTHER HOSTS in vitrinectl(8)"
}

# systemd finds given identities in their folder; older versions need a drop-in.
show_arrival() { # FILE of a given identity
    [ ! -e "/run/credentials/vitrine-keys.service/${1##*/}" ] || return 0
    if is_insisting; then
        trouble identity "$1 has not reached vitrine-keys; restart vitrine-keys and reload vitrine; if that does not help, see: journalctl --unit vitrine-keys"
    else
        trouble identity "$1 has not reached vitrine-keys; name it in a drop-in, as OTHER HOSTS in vitrinectl(8) shows, then restart vitrine-keys and reload vitrine"
    fi
}
