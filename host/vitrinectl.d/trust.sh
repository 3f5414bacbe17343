# SPDX-License-Identifier: GPL-3.0-or-later
# The certificates that this host trusts.

fingerprint() { # CERTIFICATE: its SHA-256
    openssl x509 -noout -fingerprint -sha256 -in "$1" 2>/dev/null | sed -n 's/.*=//p' | tr -d : | tr A-F a-f
}

revoked_list=/etc/verity.d/vitrine.revoked

# Prints the certificates that systemd uses: of several with the same name, the one in the first folder. An empty file,
# such as a link to /dev/null, hides the others.
certificates() {
    local folder file
    local -A seen=()
    for folder in /etc /run /usr/local/lib /usr/lib; do
        for file in "$folder"/verity.d/*.crt; do
            if [ -e "$file" ] && [ -z "${seen[${file##*/}]-}" ]; then
                seen[${file##*/}]=yes
                [ ! -s "$file" ] || echo "$file"
            fi
        done
    done
}

# Finds those for images of this kind: a certificate named *.content.crt is for capsules only.
find_trusted() { # KIND [CERTIFICATE]
    local file
    trusted=()
    if [ $# -gt 1 ]; then
        openssl x509 -noout -in "$2" 2>/dev/null || refuse 66 "$2 contains no readable certificate (PEM); give the one that belongs to mkosi.key"
        trusted=("$2")
        return
    fi
    while read -r file; do
        [[ $1 != server || $file != *.content.crt ]] && ! is_revoked "$file" && trusted+=("$file")
    done < <(certificates)
    [ ${#trusted[@]} -gt 0 ] ||
        refuse 78 "this host trusts no certificate; put the one that belongs to mkosi.key at /etc/verity.d/vitrine.crt"
}

is_revoked() { # CERTIFICATE
    [ -e "$revoked_list" ] && grep -qixF "$(fingerprint "$1")" "$revoked_list"
}

trust() { # FILE | --announced [--content]
    local file='' kind='' word mark
    for word; do
        case $word in
            --content) kind=.content ;;
            --announced) file=$memory/announced.crt ;;
            -*) refuse 64 "unknown option $word; see: vitrinectl --help" ;;
            *) file=$word ;;
        esac
    done
    [ -n "$file" ] || refuse 64 "trust needs a certificate, or --announced; see: vitrinectl --help"
    [ -e "$file" ] || [ "$file" != "$memory/announced.crt" ] || refuse 75 "no certificate is announced; to look for a newer release, run: vitrinectl update"
    mark=$(fingerprint "$file")
    [ -n "$mark" ] || refuse 66 "$file contains no readable certificate (PEM); give the one that belongs to a mkosi.key"
    ! is_revoked "$file" || refuse 75 "this certificate was revoked on this host; to trust it again, remove its line from $revoked_list"
    place_certificate "$file" "/etc/verity.d/vitrine-${mark:0:8}$kind.crt"
    echo "this host trusts another certificate now${kind:+ for images of capsules}, SHA-256 $mark"
}

# Copies only the certificate, whatever else the file contains.
place_certificate() { # FILE TARGET
    mkdir -p "$(dirname "$2")" && openssl x509 -in "$1" -out "$2.new" && chmod 0644 "$2.new" && sync "$2.new" && mv "$2.new" "$2" && sync "$(dirname "$2")" ||
        { rm -f "$2.new"; refuse 73 "$2 cannot be written (see above); free some space there and try again"; }
}

revoke() { # FILE | SHA-256
    local mark file image left=0 known=''
    local -a named=()
    [ $# -eq 1 ] || refuse 64 "revoke needs one certificate, or its SHA-256; see: vitrinectl --help"
    mark=$(tr -d : <<<"${1,,}")
    [[ $mark =~ ^[0-9a-f]{64}$ ]] || mark=$(fingerprint "$1")
    [ -n "$mark" ] || refuse 66 "$1 is neither a certificate (PEM) nor the SHA-256 of one; vitrinectl status lists the trusted ones"
    find_trusted any
    for file in "${trusted[@]}"; do
        if [ "$(fingerprint "$file")" = "$mark" ]; then
            named+=("$file")
        elif [[ $file != *.content.crt ]]; then
            left=$((left + 1))
        fi
    done
    [ "$left" -gt 0 ] || refuse 75 "this host trusts no other certificate; first trust another with: vitrinectl trust FILE"
    # The running image would not start again: systemd needs the certificate each time.
    for image in "$(attached_image)" "$(shown_content)"; do
        [ -z "$image" ] || ! signed_by "$image" "$mark" ||
            refuse 75 "$(basename "$image") was signed with it and would not start again; first upgrade to an image signed with another key"
    done
    [ ${#named[@]} -eq 0 ] && ! grep -qixF "$mark" "$revoked_list" 2>/dev/null || known=yes
    mkdir -p /etc/verity.d && { cat "$revoked_list" 2>/dev/null || :; echo "$mark"; } >"$revoked_list.new" && sync "$revoked_list.new" &&
        mv "$revoked_list.new" "$revoked_list" || refuse 73 "$revoked_list cannot be written (see above); free some space there and try again"
    for file in "${named[@]}"; do
        [[ $file != /etc/verity.d/* ]] || rm -f "$file"
    done
    # A file that a package installed stays, and is hidden.
    while read -r file; do
        [ "$(fingerprint "$file")" != "$mark" ] || ln -sfn /dev/null "/etc/verity.d/${file##*/}"
    done < <(certificates)
    sync /etc/verity.d
    image=$(recall previous)
    if [ -n "$image" ] && signed_by "$image" "$mark"; then
        note previous ''
        tidy
        say "$(basename "$image") was signed with it, so rollback to it is no longer possible"
    fi
    [ -n "$known" ] ||
        refuse 66 "this host trusted no certificate with SHA-256 $mark, and will trust none; if it was mistyped, revoke the right one: vitrinectl status lists the trusted ones"
    echo "this host no longer trusts the certificate with SHA-256 $mark"
}

signed_by() { # IMAGE SHA-256
    local words
    words=$(trap leave EXIT && examine "$1" any >/dev/null 2>&1 && fingerprint "$signer") && [ "$words" = "$2" ]
}
