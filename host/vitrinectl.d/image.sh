# SPDX-License-Identifier: GPL-3.0-or-later
# Functions that read and verify images.

# The folder's name contains our process id, so that a later run can remove what a killed one left, and nothing else.
# (In a subshell, the number would be that of mktemp, which has ended.) If the disk is full, the folder is in memory.
make_workspace() { # [BYTES]: that will be needed
    local folder full=''
    local -a folders=("${TMPDIR:-/var/tmp}")
    [ -n "${TMPDIR-}" ] || folders+=(/run)
    [ -z "$workspace" ] || rm -rf "$workspace"
    for folder in "${folders[@]}"; do
        workspace=$(mktemp -d "$folder/vitrinectl.$$.XXXXXX" 2>/dev/null) || continue
        [ "$(df --output=avail --block-size=1 "$folder" 2>/dev/null | tail -n 1)" -lt "${1:-0}" ] || return 0
        rm -rf "$workspace"
        full=$folder
    done
    workspace=''
    [ -z "$full" ] || refuse 73 "no room in ${folders[0]} to verify an image; free some space there, or set TMPDIR= to another folder"
    refuse 73 "cannot write to ${folders[0]}, which is needed to verify an image; free some space there, or set TMPDIR= to another folder"
}

end_workspace() {
    rm -rf "$workspace"
    workspace=''
}

# Partition types of the Discoverable Partitions Specification: root, its hash tree, and their signature.
declare -A types_for=(
    [x86-64]='4f68bce3e8cd4db196e7fbcaf984b709 2c7357edebd246d9aec123d437ec2bf5 41092b059fc84523994f2def0408b176'
    [arm64]='b921b0451df041c3af444c6f280d3fae df3300ced69f4c92978c9bfb0f38d820 6db69de629f44758a7a5962190f00ce3'
)
parts=(root verity signature)
case $(uname -m) in
    x86_64) architecture=x86-64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture='' ;;
esac
read -ra types <<<"${architecture:+${types_for[$architecture]}}"

# Refuses an image whose first partition is the root of another kind of machine.
refuse_foreign() { # NAME TYPE-OF-THE-FIRST-PARTITION
    local other
    for other in "${!types_for[@]}"; do
        [[ $other == "$architecture" || ${types_for[$other]} != "$2 "* ]] ||
            refuse 65 "$1 is for $other, but this host is $architecture; build it with ARCH=$architecture, or get the image for $architecture"
    done
}

digits() { # FILE OFFSET SIZE: its bytes, as hexadecimal digits
    od -An -v -t x1 -j "$2" -N "$3" "$1" 2>/dev/null | tr -d ' \n'
}

number() { # DIGITS, the lowest byte first
    local turned='' i
    for ((i = 0; i < ${#1}; i += 2)); do
        turned=${1:i:2}$turned
    done
    echo $((16#$turned))
}

# Writes an identifier as text, from its bytes on the disk.
identifier() { # DIGITS
    echo "${1:6:2}${1:4:2}${1:2:2}${1:0:2}${1:10:2}${1:8:2}${1:14:2}${1:12:2}${1:16}"
}

wide() { # TEXT: the digits of UTF-16
    printf %s "$1" | od -An -v -t x1 | sed 's/ \(..\)/\100/g' | tr -d ' \n'
}

zeros() { # FILE FROM TO: is there nothing?
    [ "$2" -ge "$3" ] || cmp -s -n $(($3 - $2)) -i "$2:0" "$1" /dev/zero
}

cut_out() { # FILE OFFSET SIZE TARGET
    dd if="$1" of="$4" iflag=skip_bytes,count_bytes,fullblock skip="$2" count="$3" bs=1M status=none 2>/dev/null ||
        refuse 73 "no room in $(dirname "$workspace") to verify an image; free some space there, or set TMPDIR= to another folder"
}

# Reads where the partitions are. Except for positions and identifiers, every byte of the table is known in advance, and
# the image contains nothing else, so every program that reads the table finds exactly these three partitions. (If the
# image began with the superblock of a file system, systemd would mount that and ignore the table.)
read_table() { # IMAGE NAME; sets starts, sizes, identifiers
    local header table last end=33 first second entry i name
    header=$(digits "$1" 512 92)
    [[ $header == 4546492050415254* ]] || refuse 65 "$2 is not a disk image; copy or build it again"
    # The image ends where the table's second copy ends.
    last=$(number "${header:64:16}")
    [ "$(stat -L -c %s "$1")" -ge $(((last + 1) * 512)) ] || refuse 65 "$2 is cut off; copy or build it again"
    [ "${#types[@]}" -eq 3 ] || refuse 69 "Vitrine has no images for $(uname -m); README lists the supported processors"
    table=$(digits "$1" 1024 384)
    for ((i = 0; i < 3; i++)); do
        entry=${table:i*256:256}
        [ "$i" -ne 0 ] || refuse_foreign "$2" "$(identifier "${entry:0:32}")"
        [ "$(identifier "${entry:0:32}")" = "${types[i]}" ] ||
            refuse 65 "$2 is not signed: partition $((i + 1)) is not the ${parts[i]} of an image for this kind of machine; build it here, with mkosi.key present"
        identifiers[i]=$(identifier "${entry:32:32}")
        first=$(number "${entry:64:16}")
        starts[i]=$((first * 512))
        name=root-$architecture
        [ "$i" -eq 0 ] || name+=-verity
        [ "$i" -ne 2 ] || name+=-sig
        name=$(wide "$name")
        [ "$first" -gt "$end" ] && zeros "$1" $(((end + 1) * 512)) "${starts[i]}" && [[ ${entry:112} == "$name"*(0) ]] &&
            [[ ${entry:96:16} == 00000000000000[01]0 ]] || strange "$2"
        end=$(number "${entry:80:16}")
        [ "$end" -ge "$first" ] && [ "$end" -lt $((last - 32)) ] || strange "$2"
        sizes[i]=$(((end + 1) * 512 - starts[i]))
    done
    # The first sector, both headers, and the table's second copy. In an image of 4 MiB or more, the first usable sector is
    # 2048 (0x800) instead of 34 (0x22).
    first='^4546492050415254000001005c000000.{8}0{8}0100000000000000.{16}(2200|0008)000000000000.{48}02000000000000008000000080000000'
    second="^${header:0:32}.{8}0{8}${header:64:16}0100000000000000${header:80:64}.{16}8000000080000000${header:176}\$"
    [[ $(digits "$1" 446 66) =~ ^00.{6}ee.{6}01000000.{8}0{96}55aa$ ]] && zeros "$1" 0 446 &&
        [[ $header =~ $first ]] && [[ $(digits "$1" $((last * 512)) 92) =~ $second ]] &&
        [ "$(number "$(digits "$1" $((last * 512 + 72)) 8)")" -eq $((last - 32)) ] &&
        zeros "$1" 604 1024 && zeros "$1" 1408 17408 && zeros "$1" $(((end + 1) * 512)) $(((last - 32) * 512)) &&
        cmp -s -n 16384 -i "1024:$(((last - 32) * 512))" "$1" "$1" && zeros "$1" $((last * 512 + 92)) $(((last + 1) * 512)) &&
        [ "$(stat -L -c %s "$1")" -eq $(((last + 1) * 512)) ] || strange "$2"
}

strange() { # NAME
    refuse 65 "$1 cannot be trusted: it contains more than was signed; copy or build it again"
}

# Computes the hash tree again from the file system: both must match what was signed, byte for byte.
check_tree() { # NAME
    local made='' salt uuid size blocks
    blocks=$(number "$(digits "$workspace/verity" 72 8)")
    uuid=$(digits "$workspace/verity" 16 16)
    salt=$(digits "$workspace/verity" 88 32)
    # Whatever the tree does not cover must be empty.
    if [ "$blocks" -gt 0 ] && [ $((sizes[0] / 4096)) -ge "$blocks" ] && zeros "$workspace/root" $((blocks * 4096)) "${sizes[0]}"; then
        made=$(veritysetup format --hash=sha256 --data-block-size=4096 --hash-block-size=4096 --data-blocks="$blocks" --salt="$salt" \
            --uuid="${uuid:0:8}-${uuid:8:4}-${uuid:12:4}-${uuid:16:4}-${uuid:20}" "$workspace/root" "$workspace/tree" 2>/dev/null |
            sed -n 's/^Root hash:[[:space:]]*//p') || :
        # veritysetup does not say whether it lacked room or the parameters are wrong; a test tells which.
        [ -n "$made" ] || cut_out "$workspace/verity" 0 "${sizes[1]}" "$workspace/tree"
    fi
    size=$(stat -c %s "$workspace/tree" 2>/dev/null) || size=0
    [ "$made" = "$root_hash" ] && cmp -s -n "$size" "$workspace/tree" "$workspace/verity" && zeros "$workspace/verity" "$size" "${sizes[1]}" ||
        refuse 65 "$1 cannot be trusted: its content differs from what was signed; copy or build it again"
    rm "$workspace/tree"
}

# Finds the trusted certificate whose key signed the root hash.
find_signer() { # SIGNATURE-IN-BASE64
    local certificate
    signer=''
    base64 -d <<<"$1" >"$workspace/pkcs7" 2>/dev/null || return 0
    for certificate in "${trusted[@]}"; do
        # Ignore certificates inside the signature (-nointern). The issuer of the trusted certificate does not matter.
        if openssl smime -verify -binary -inform DER -in "$workspace/pkcs7" -content "$workspace/hash" \
            -nointern -certfile "$certificate" -noverify -out /dev/null 2>/dev/null; then
            signer=$certificate
            return
        fi
    done
}
# Sets root_hash, signer, kind and version. Before the check is complete, it reads from the
# image only what the check itself needs.
examine() { # IMAGE KIND [NAME [CERTIFICATE]]; KIND: server, content or any
    local image=$1 name=${3:-$1} text
    local -a starts sizes identifiers
    [ -e "$image" ] || refuse 66 "image $name does not exist; give the file that make image or make content made"
    [ -f "$image" ] && [ -r "$image" ] || refuse 66 "$name is not a readable file; look at it with: ls -l $name"
    need_tool openssl openssl
    need_tool veritysetup cryptsetup-bin
    find_trusted any "${@:4}"
    # Space for the file system, its tree, and the tree computed again.
    make_workspace $(($(stat -L -c %s "$image") * 2))
    read_table "$image" "$name"
    cut_out "$image" "${starts[0]}" "${sizes[0]}" "$workspace/root"
    cut_out "$image" "${starts[1]}" "${sizes[1]}" "$workspace/verity"
    cut_out "$image" "${starts[2]}" "${sizes[2]}" "$workspace/signature"

    [ "${sizes[2]}" -le 65536 ] && text=$(tr -d '\0' <"$workspace/signature") && zeros "$workspace/signature" "${#text}" "${sizes[2]}" &&
        [[ $text =~ ^\{\"rootHash\":\"([0-9a-f]{64})\",(\"certificateFingerprint\":\"[0-9a-f]{64}\",)?\"signature\":\"([A-Za-z0-9+/=]+)\"\}$ ]] ||
        refuse 65 "$name is damaged, or was not made by mkosi: its signature cannot be read; copy or build it again"
    root_hash=${BASH_REMATCH[1]}
    text=${BASH_REMATCH[3]}
    [ "$root_hash" = "${identifiers[0]}${identifiers[1]}" ] ||
        refuse 65 "$name cannot be trusted: its signature is for another file system; copy or build it again"
    printf %s "$root_hash" >"$workspace/hash"
    find_signer "$text"
    [ -n "$signer" ] ||
        refuse 65 "$name cannot be trusted: none of the ${#trusted[@]} certificates here has signed it (${trusted[*]}); if you know who did, trust their certificate with: vitrinectl trust FILE"
    check_tree "$name"
    read_kind "$name" "$2"
    end_workspace
}

# Reads what the image is from the name of the verified file system.
read_kind() { # NAME WANTED
    kind=$(dd if="$workspace/root" iflag=skip_bytes,count_bytes skip=1088 count=16 status=none | tr -d '\0')
    case $kind in
        vitrine-server) kind=server ;;
        vitrine-content) kind=content ;;
        *) refuse 65 "$1 is signed, but is not an image of Vitrine, or is of an old version; build it again with make image or make content" ;;
    esac
    case $2:$kind in
        server:content) refuse 65 "$1 is an image of capsules, not of the server; to show it, run: vitrinectl content $1" ;;
        content:server) refuse 65 "$1 is an image of the server, not of capsules; to make one of capsules, run: make content DIR=/my/capsules" ;;
    esac
    if [ "$kind" = server ]; then
        [[ $signer != *.content.crt ]] ||
            refuse 65 "$1 cannot be trusted: $signer may sign capsules only, not the server; ask who made it"
        read_release "$1"
    else
        read_time
    fi
}

# The version of an image of capsules is the time in its file system, in UTC: 20261126.171530. make content gives each
# image the same one (SourceDateEpoch in mkosi.conf), which is no version.
timeless=1735689600
read_time() {
    local seconds
    version=''
    version_told_by=image
    seconds=$(number "$(digits "$workspace/root" 1048 8)")
    [ "$seconds" -le "$timeless" ] || version=$(date --utc --date="@$seconds" +%Y%m%d.%H%M%S 2>/dev/null) || version=''
}

# Reads what the image says about itself, from the verified file system.
read_release() { # NAME
    mkdir "$workspace/mounted" 2>/dev/null || :
    local words
    version_told_by=image
    # Use the bytes that were just verified, not the file, which somebody could have replaced.
    # shellcheck disable=SC2016
    if ! words=$(unshare --mount --propagation private sh -euc '
        mount -t erofs -o ro,nodev,nosuid,noexec,loop "$1/root" "$1/mounted"
        cat "$1/mounted/usr/lib/os-release"' sh "$workspace" 2>&1); then
        # Without root, or on a kernel without erofs, only the file name says it.
        version=$(basename "$1" .raw)
        version=${version#vitrine_}
        [[ $version =~ ^[A-Za-z0-9.+~^-]+$ ]] || version=unknown
        version_told_by=name
        return
    fi
    version=$(sed -n 's/^IMAGE_VERSION="\{0,1\}\([A-Za-z0-9.+~^-]*\)"\{0,1\}$/\1/p' <<<"$words")
    [ -n "$version" ] || refuse 65 "$1 is signed, but has no version; build it with mkosi 25 or newer"
}
