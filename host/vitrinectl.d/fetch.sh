# SPDX-License-Identifier: GPL-3.0-or-later
# Versions that systemd-sysupdate fetches: of the program, and of capsules.

list_size=65536 # maximum bytes of the list of versions and the files that come with it
fetchers=(vitrine-fetch@vitrine.service vitrine-fetch@vitrine-content.service)
silence=14      # days without a valid list, after which status warns

# Sets what the functions below are about. Either has an address, a service that fetches, a folder, and records of its
# own. The name is that of the component for systemd-sysupdate, too.
about() { # vitrine|vitrine-content
    component=$1
    fetched=/var/lib/$1-fetched # the only folder that vitrine-fetch@NAME.service can write to
    transfers=/etc/sysupdate.$1.d
    case $1 in
        vitrine) stem=vitrine trusting=server capsules='' records='' keep=$portables fetches='vitrinectl update' made_by='make release' dated_by='make release-list' ;;
        *) stem=content trusting=content capsules=capsules records=content- keep=$memory fetches='vitrinectl content --update' made_by='make content-release' dated_by='make content-list' ;;
    esac
    published=$stem
    # A release's name for the images for this architecture: vitrine_VERSION.raw, or vitrine-arm64_VERSION.raw.
    [ "$architecture" = x86-64 ] || published+=-$architecture
}

# Says what stays if nothing is taken.
unchanged() {
    case $component in
        vitrine) echo "$(basename "$(attached_image)") keeps running" ;;
        *) echo 'the capsules stay as they are' ;;
    esac
}

is_newer() { # VERSION THAN
    systemd-analyze compare-versions "$1" gt "$2" 2>/dev/null
}

present_image() {
    case $component in
        vitrine) attached_image ;;
        *) shown_content ;;
    esac
}

# The highest version that ever ran or was tried here. Updates accept only higher ones. So they reject an older version
# that an attacker offers from the web server, one that did not become ready, and one that an administrator rolled back.
# Prints nothing if there was none, as before the first capsules are fetched.
highest() {
    local known present
    known=$(recall "${records}highest")
    present=$(version_of "$(present_image)")
    if [ -n "$known" ] && { [ -z "$present" ] || is_newer "$known" "$present"; }; then
        echo "$known"
    else
        echo "$present"
    fi
}

records_of() { # IMAGE: of the server, or of capsules
    [[ ${1##*/} != content_* ]] || echo content-
}

note_highest() { # IMAGE
    local version known records
    records=$(records_of "$1")
    version=$(version_of "$1")
    known=$(recall "${records}highest")
    if [ -n "$version" ] && { [ -z "$known" ] || is_newer "$version" "$known"; }; then
        note "${records}highest" "$version"
    fi
}

note_failed() { # IMAGE
    note "$(records_of "$1")failed" "$(version_of "$1")"
    note_highest "$1"
}

# Prints the address of new versions; nothing if it is not set.
source_of_updates() {
    sed -n '/^\[Source\]/,/^\[Target\]/s/^Path=//p' "$transfers/$component.transfer" 2>/dev/null | tail -n 1 | sed 's/%%/%/g'
}

set_source() { # ADDRESS
    local file=$transfers/$component.transfer template folder
    [[ $1 =~ ^https?://[][A-Za-z0-9._~:/@+,=%-]+$ ]] ||
        refuse 64 "'$1' is not the address of a folder on a web server; write it like https://example.org/vitrine"
    template=$file
    for folder in /usr/local/share /usr/share; do
        [ -e "$template" ] || template=$folder/vitrine/$component.transfer
    done
    [ -e "$template" ] || refuse 78 "the file $component.transfer, which tells systemd-sysupdate what to fetch, is missing; unpack vitrine-host_VERSION.tar again, or run: make install"
    # Keeps changes that an administrator made in it.
    mkdir -p "$transfers" && sed "/^\[Source\]/,/^\[Target\]/{s|^Path=.*|Path=${1//%/%%}|;s|^MatchPattern=${stem}_@v\.raw$|MatchPattern=${published}_@v.raw|}" "$template" >"$file.new" && sync "$file.new" &&
        mv "$file.new" "$file" && ln -sfn "$component.transfer" "$transfers/$component.conf" || # the name that systemd before 257 knows
        refuse 73 "cannot write to $transfers (see above); free some space there and try again"
}

# Only vitrine-fetch@NAME.service talks to the network. It has a user of its own and runs vitrinectl fetch.
fetch_by_service() {
    local words invocation unit=vitrine-fetch@$component.service
    systemctl cat "$unit" >/dev/null 2>&1 ||
        refuse 78 "the unit vitrine-fetch@.service, which fetches updates, is missing; unpack vitrine-host_VERSION.tar again, or run: make install"
    systemctl start "$unit" 2>/dev/null && return
    invocation=$(systemctl show --value --property=InvocationID "$unit")
    words=$(journalctl --quiet --no-pager --output=cat "_SYSTEMD_INVOCATION_ID=${invocation:-none}" 2>/dev/null | LC_ALL=C tr -c '\n -~' '?') || words=''
    [ -z "$words" ] || tail -n 6 <<<"$words" >&2
    [[ $words != *'Operation not supported'* ]] ||
        refuse 69 "systemd-sysupdate needs the library curl; install it, for example with: apt install libcurl4"
    refuse 69 "nothing could be fetched from $(source_of_updates) (see: journalctl --unit vitrine-fetch@$component); $(unchanged)"
}

# Runs as the user of vitrine-fetch@NAME.service. Its files are verified before anybody trusts them.
fetch() { # vitrine|vitrine-content
    local address name
    [[ $#:${1-} == 1:@(vitrine|vitrine-content) && -n ${STATE_DIRECTORY-} ]] ||
        refuse 64 "only vitrine-fetch@.service runs fetch; run: vitrinectl update"
    about "$1"
    address=$(source_of_updates)
    cd "$STATE_DIRECTORY"
    rm -f SHA256SUMS SHA256SUMS.p7s next.crt
    fetch_file SHA256SUMS
    fetch_file SHA256SUMS.p7s
    [ "$component" != vitrine ] || ! grep -q '^[0-9a-f]\{64\} [ *]next\.crt$' SHA256SUMS || fetch_file next.crt
    exec /usr/lib/systemd/systemd-sysupdate --component="$component" update
}

# Fetches one byte more than allowed, to notice files that are too long.
fetch_file() { # NAME
    (set -o pipefail && /usr/lib/systemd/systemd-pull raw --direct --verify=no "${address%/}/$1" - | head -c $((list_size + 1)) >".$1") &&
        [ "$(stat -c %s ".$1")" -le "$list_size" ] && mv ".$1" "$1" ||
        refuse 69 "$1 cannot be fetched from $address, or is too long; check that folder on the web server"
}

# Makes a private copy of what another user can still write to: follows no link, never blocks, copies a bounded size.
take_fetched() { # NAME TARGET SIZE
    dd if="$fetched/$1" of="$2" iflag=nofollow,nonblock,count_bytes,fullblock count="$3" bs=1M status=none 2>/dev/null ||
        { [ -e "$fetched/$1" ] || return 1; refuse 73 "cannot copy the fetched files to $(dirname "$2"); free some space there and try again"; }
}

# Verifies the bare RSA signature in the last bytes (make release adds no signed attributes). So nothing is parsed
# before it is verified. Sets signer.
check_list() { # LIST SIGNATURE
    local certificate size
    signer=''
    for certificate in "${trusted[@]}"; do
        size=$(openssl x509 -noout -modulus -in "$certificate" 2>/dev/null | sed -n 's/^Modulus=//p' | tr -d '\n' | wc -c)
        [ "$size" -ge 512 ] && openssl x509 -noout -pubkey -in "$certificate" >"$workspace/public" 2>/dev/null || continue
        tail -c $((size / 2)) "$2" >"$workspace/bare"
        if openssl dgst -sha256 -verify "$workspace/public" -signature "$workspace/bare" "$1" >/dev/null 2>&1; then
            signer=$certificate
            return
        fi
    done
}

listed() { # NAME: its checksum in the list
    sed -n "s/^\([0-9a-f]\{64\}\) [ *]$1\$/\1/p" "$workspace/list" | head -n 1
}

# Reads the list in the workspace. Sets until: the day on which it expires; the earliest if there are several.
read_list() { # NAME
    local unusual
    need_tool openssl openssl
    check_list "$workspace/list" "$workspace/list.p7s"
    [ -n "$signer" ] ||
        refuse 65 "$1 cannot be trusted: none of the ${#trusted[@]} certificates here has signed it (${trusted[*]}); ask who runs the web server"
    unusual=$(LC_ALL=C grep -cvE '^[0-9a-f]{64} [ *][A-Za-z0-9._+~^-]+$' "$workspace/list") || :
    [ "$unusual" -eq 0 ] || refuse 65 "$1 is signed, but is not the list of a release; make it again with: $made_by"
    until=$(sed -n 's/^[0-9a-f]* [ *]BEST-BEFORE-\([0-9]\{4\}-[0-9][0-9]-[0-9][0-9]\)$/\1/p' "$workspace/list" | sort | head -n 1)
    [ -n "$until" ] || refuse 65 "$1 has no expiry date; make it again with: $made_by"
}

today() {
    date --utc +%Y-%m-%d
}

# The list expires at the beginning of the day that BEST-BEFORE names, also for systemd-sysupdate.
counts() { # UNTIL
    [[ $(today) < $1 ]]
}

# Verifies a whole release in a folder.
verify_release() { # LIST [CERTIFICATE]
    local folder faults
    folder=$(dirname "$1")
    [ -f "$1" ] && [ -f "$1.p7s" ] || refuse 66 "$1, or its signature $1.p7s, does not exist; give the list of a release that is complete"
    make_workspace
    head -c "$list_size" "$1" >"$workspace/list" && head -c "$list_size" "$1.p7s" >"$workspace/list.p7s" || refuse 73 "no room in $(dirname "$workspace"); free some space there"
    # Without an image of the server, a certificate for capsules is enough.
    about vitrine-content
    ! grep -q '^[0-9a-f]* [ *]vitrine[^/]*$' "$workspace/list" || about vitrine
    find_trusted "$trusting" "${@:2}"
    read_list "$1"
    faults=$(cd "$folder" && sha256sum --check --quiet "$workspace/list" 2>/dev/null) ||
        refuse 65 "$1 does not match the files beside it: $(printable "$(tr '\n' ' ' <<<"$faults")"); copy them again"
    counts "$until" || refuse 65 "$1 expired on $until; copy a newer one, or make it again with: $dated_by"
    end_workspace
    echo "$1: all files are there as they were signed by $signer; hosts take it until $until"
}

# Verifies the fetched list in a private copy. Sets until, and newest: the newest version in it.
hear_list() {
    local known='' at=0 now
    find_trusted "$trusting"
    make_workspace
    take_fetched SHA256SUMS "$workspace/list" "$list_size" && take_fetched SHA256SUMS.p7s "$workspace/list.p7s" "$list_size" ||
        refuse 69 "nothing could be fetched from $(source_of_updates) (see: journalctl --unit vitrine-fetch@$component); $(unchanged)"
    read_list "the list of versions at $(source_of_updates)"
    counts "$until" ||
        refuse 65 "the list of versions at $(source_of_updates) expired on $until; renew it with $dated_by, or ask who runs the web server whether newer ones are withheld"
    read -r known at < <(recall "${records}heard") || :
    [[ ! $until < $known ]] ||
        refuse 65 "the list of versions at $(source_of_updates) is older (valid until $until) than one that this host has seen (valid until $known); ask who runs the web server"
    now=$(date +%s)
    [ "$now" -ge "${at:-0}" ] || refuse 69 "the clock of this host is behind: it last saw a list of versions later than now; set the clock, then try again"
    # A list of something else must not count, or it could keep the right ones out.
    newest=$(newest_listed)
    [ -n "$newest" ] ||
        refuse 69 "the list of versions at $(source_of_updates) has no image${capsules:+ of $capsules} for $architecture; ask who runs the web server"
    note "${records}heard" "$until $now"
    [ "$component" != vitrine ] || hear_announcement
}

# The list may announce the certificate of later versions. An administrator decides whether to trust it.
hear_announcement() {
    local wanted file=$workspace/next.crt
    wanted=$(listed 'next\.crt')
    if [ -z "$wanted" ]; then
        [ ! -e "$memory/announced.crt" ] || forget announced.crt
        return 0
    fi
    take_fetched next.crt "$file" "$list_size" && [ "$(sha256sum <"$file" | cut -c 1-64)" = "$wanted" ] ||
        refuse 65 "next.crt at $(source_of_updates) is not the certificate in the list; ask who runs the web server"
    note announced.crt "$(cat "$file")"
    ! is_awaited || say "another certificate is announced, SHA-256 $(fingerprint "$memory/announced.crt"); to trust it, run: vitrinectl trust --announced"
}

# Is a certificate announced that is neither trusted nor revoked?
is_awaited() {
    local file mark
    [ -e "$memory/announced.crt" ] || return 1
    mark=$(fingerprint "$memory/announced.crt")
    [ -n "$mark" ] && ! is_revoked "$memory/announced.crt" || return 1
    for file in "${trusted[@]}"; do
        [ "$(fingerprint "$file")" != "$mark" ] || return 1
    done
}

# Prints the newest version in the list.
newest_listed() {
    local version newest=''
    while read -r version; do
        if [ -z "$newest" ] || is_newer "$version" "$newest"; then
            newest=$version
        fi
    done < <(sed -n "s/^[0-9a-f]* [ *]${published}_\([A-Za-z0-9.+~^-]*\)\.raw\$/\1/p" "$workspace/list")
    echo "$newest"
}

# Fetches the list and the newest image. Sets until and newest.
fetch_newest() { # [ADDRESS]: from now on
    need_tool systemd-analyze systemd
    [ -x /usr/lib/systemd/systemd-sysupdate ] ||
        refuse 69 "systemd-sysupdate is missing on this host; install it, for example with: apt install systemd-container"
    [ -z "$1" ] || set_source "$1"
    [ -n "$(source_of_updates)" ] ||
        refuse 78 "the address of new versions is not set; set it once with: vitrinectl $verb --from=https://example.org/vitrine"

    # Do not hold the lock while fetching.
    fetch_by_service
    lock 60
    recover
    doubtful=yes
    hear_list
}

# Copies what was fetched and verifies it. Nothing reads the copy before its bytes match those in the signed list.
# Sets copy.
take_newest() {
    local file=$fetched/${stem}_$newest.raw listed_as=${published}_$newest.raw wanted
    wanted=$(listed "${listed_as//./\\.}")
    end_workspace
    doomed=$keep/.incoming.$$
    if [ ! -e "$file" ] || [ -L "$file" ]; then
        # Remove the wrong file, so that it is not in the way next time.
        rm -f "$fetched"/*.raw
        refuse 69 "$listed_as is in the list of versions, but cannot be fetched from $(source_of_updates); ask who runs the web server"
    fi
    take_fetched "${file##*/}" "$doomed" 536870912
    chmod 0644 "$doomed"
    [ "$(sha256sum <"$doomed" | cut -c 1-64)" = "$wanted" ] ||
        refuse 65 "$listed_as at $(source_of_updates) does not match the list of versions; ask who runs the web server"
    examine "$doomed" "$trusting" "$file"
    [ "$version_told_by" = image ] || refuse 70 "$file cannot be read on this host, so it cannot run; nothing was changed"
    # The list gave the name; the version in the image is signed.
    [ "$version" = "$newest" ] || refuse 65 "$file cannot be trusted: it is named $newest, but was signed as ${version:-no version}; ask who runs the web server"
    name_copy "$keep"
    doubtful=''
    put_in_place "$doomed"
}
