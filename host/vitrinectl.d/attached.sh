# SPDX-License-Identifier: GPL-3.0-or-later
# Functions for the attached image: which one it is, what is recorded about it, and how the services switch to another.

recall() { # present|previous|highest|failed|heard, or the last three of capsules: content-highest...
    cat "$memory/$1" 2>/dev/null || :
}

# Syncs to the disk: the record must be there even if the power fails in the next moment.
note() { # FILE TEXT
    mkdir -p "$memory" 2>/dev/null && printf '%s\n' "$2" 2>/dev/null >"$memory/$1.new" && sync "$memory/$1.new" 2>/dev/null &&
        mv "$memory/$1.new" "$memory/$1" 2>/dev/null && sync "$memory" ||
        refuse 73 "cannot write to $memory, where every change is recorded first; free some space there, or make it writable, and try again"
}

forget() { # FILE...
    local file
    for file; do
        rm -f "$memory/$file" 2>/dev/null || refuse 73 "cannot remove files from $memory; make it writable and try again"
    done
    [ ! -e "$memory" ] || sync "$memory"
}

# Prints the image that the services run from, as the service manager sees it; nothing if none is attached.
attached_image() {
    systemctl show --value --property=RootImage vitrine.service 2>/dev/null || :
}

# Reads it from the name that name_copy gave the copy. Capsules may have none.
version_of() { # IMAGE
    local file
    file=$(basename "$1" .raw)
    [[ $file != content_* || $file == *+???????? ]] || return 0
    file=${file#*_}
    echo "${file%+????????}"
}

name_copy() { # FOLDER; sets copy
    case $kind:$version in
        server:*) copy=$1/vitrine_$version+${root_hash:0:8}.raw ;;
        content:?*) copy=$1/content_$version+${root_hash:0:8}.raw ;;
        *) copy=$1/content_${root_hash:0:16}.raw ;;
    esac
}

# Copies an image under a name with its hash, so that the previous copy stays as it is. Only the copy is examined:
# whoever can write to the original could replace it, but only root can write here.
take_in() { # IMAGE KIND FOLDER; sets copy
    local incoming=$3/.incoming.$$ words
    [ -e "$1" ] || refuse 66 "image $1 does not exist; give the file that make image or make content made"
    [ -f "$1" ] && [ -r "$1" ] || refuse 66 "$1 is not a readable file; look at it with: ls -l $1"
    doomed=$incoming
    words=$( (mkdir -p "$3" && cp --sparse=never "$1" "$incoming") 2>&1) ||
        refuse 73 "cannot copy $1 to $3 (${words##*: }), so nothing was changed; free some space there and try again"
    chmod 0644 "$incoming"
    examine "$incoming" "$2" "$1"
    name_copy "$3"
    put_in_place "$incoming"
}

# A new copy is removed when vitrinectl exits, until a change begins that needs it.
put_in_place() { # INCOMING
    if [ -e "$copy" ] && cmp -s "$1" "$copy"; then
        rm -f "$1"
        doomed=''
        return
    fi
    sync "$1"
    mv "$1" "$copy"
    doomed=$copy
    sync "$(dirname "$copy")"
}

# Tests whether the image would run: the service manager mounts and verifies it as for the service, isolated from
# everything.
rehearse() {
    local insist words
    if is_insisting; then
        insist=$(systemctl show --value --property=RootImagePolicy vitrine.service 2>/dev/null) || insist=''
        insist=--property=RootImagePolicy=${insist:-root=signed}
    else
        insist=$(systemctl show --value --property=RootHash vitrine.service)
        insist=${insist:+--property=RootHash=$root_hash}
    fi
    if ! words=$(systemd-run --quiet --wait --pipe --collect --property=RootImage="$copy" ${insist:+"$insist"} \
        --property=DynamicUser=yes --property=PrivateNetwork=yes --property=TimeoutStartSec=20s --property=RuntimeMaxSec=20s \
        /usr/bin/vitrine --version 2>&1 </dev/null); then
        [ -z "$words" ] || echo "$words" >&2
        refuse 70 "the new image cannot run on this host, so nothing was changed; see above, and journalctl --boot"
    fi
}

is_ready() {
    local unit
    # One by one: systemctl succeeds if one unit out of many is active.
    for unit in "${services[@]}" vitrine.socket vitrine-keys.socket; do
        systemctl --quiet is-active "$unit" || return 1
    done
}

show_log() {
    journalctl --quiet --no-pager --boot --output=short --lines=15 --unit='vitrine*' --unit=systemd-portabled >&2 || :
}

# On success, the services run from this image. The sockets stay open: clients that connect meanwhile wait in them. The
# key process goes first, so that a worker never waits long for a signature. It is safe to run this twice.
switch_to() { # IMAGE
    local how=reattach
    [ -n "$(attached_image)" ] || how=attach
    pin_root "$1" || return 1
    if ! portablectl "$how" --quiet --profile="$(profile)" --enable "$1"; then
        # After a power failure in the middle, an image may be half attached.
        portablectl detach --quiet --enable "$1" >/dev/null 2>&1 || :
        portablectl attach --quiet --profile="$(profile)" --enable "$1" || return 1
    fi
    systemctl daemon-reload
    [ "$(attached_image)" = "$1" ] && systemctl start vitrine.socket vitrine-keys.socket &&
        systemctl restart vitrine-keys.service && systemctl restart vitrine.service && is_ready && settle
}

# Syncs what the service manager wrote.
settle() {
    sync --file-system /etc/systemd/system
}

undo_attach() { # IMAGE
    portablectl detach --quiet --enable --now "$1" >/dev/null 2>&1 || :
    pin_root ''
    systemctl --quiet disable vitrine-recover.service 2>/dev/null || :
    systemctl daemon-reload
    systemctl reset-failed vitrine.socket vitrine-keys.socket "${services[@]}" 2>/dev/null || :
    settle
}

# Removes copies that are no longer needed or never were in use.
tidy() {
    local file shown image
    shown=$(shown_content)
    image=$(attached_image)
    for file in "$portables"/vitrine_*+????????.raw "$memory"/content*.raw; do
        case $file in
            "$image" | "$(recall present)" | "$(recall previous)" | "$shown") ;;
            *) rm -f "$file" ;;
        esac
    done
}

remember() { # PRESENT PREVIOUS
    note previous "$2"
    note present "$1"
    note_highest "$1"
}
