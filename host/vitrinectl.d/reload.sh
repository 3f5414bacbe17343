# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the server use an administrator's changes without losing a connection.

# systemd binds these into the service when it starts. This binds what was created or replaced after that.
host_folders=(/etc/vitrine /srv/gemini)

# Sets anew: whether the server must restart to see the folders. Before version 257, systemd mounts one folder on top of
# another, and the upper mount would disappear with the lower one.
bind_folders() {
    local main folder source bound seen
    anew=''
    main=$(systemctl show --value --property=MainPID vitrine.service)
    bound=$(systemctl show --value --property=BindReadOnlyPaths,BindPaths vitrine.service | tr ' ' '\n')
    for folder in "${host_folders[@]}"; do
        [ -d "$folder" ] || continue
        # Leaves alone an image of capsules, or what a drop-in binds there.
        [ "$folder" != /srv/gemini ] || [ -z "$(shown_content)" ] || continue
        ! grep -E ":$folder(:|\$)" <<<"$bound" | grep -qvE "^-?$folder:" || continue
        seen=$(stat -L -c %d:%i "/proc/$main/root$folder" 2>/dev/null) || seen=''
        [ "$(stat -L -c %d:%i "$folder")" != "$seen" ] || continue
        if [ "$(systemd_version)" -lt 257 ] && [ "${seen%:*}" != "$(stat -L -c %d "/proc/$main/root/")" ]; then
            anew=yes
            continue
        fi
        source=$(readlink -f "$folder")
        systemctl bind --read-only vitrine.service "$source" "$folder" 2>/dev/null ||
            refuse 70 "systemd cannot show $folder to the running server; run: systemctl restart vitrine.service"
    done
}

# Given identities. systemd 260 and newer read them at a reload. On older versions, the key process must restart, and
# clients wait for a moment. It must not lose identities that it has.
take_credentials() {
    local file name words named changed='' now=/run/credentials/vitrine-keys.service
    named=$(systemctl cat vitrine-keys.service 2>/dev/null | grep '^LoadCredential') || named=''
    for file in /etc/credstore/identity.* /run/credstore/identity.* /etc/credstore.encrypted/identity.*; do
        [ -e "$file" ] || continue
        name=${file##*/}
        # Before version 254, a drop-in must name each one; status lists those without one.
        is_insisting || [[ $named == *"$name"* ]] || continue
        if [[ $file == *.encrypted/* ]]; then
            words=$(systemd-creds decrypt "$file" - 2>&1 >/dev/null) ||
                refuse 65 "$file cannot be decrypted (${words##*$'\n'}); encrypt it again on this host with: systemd-creds encrypt --name=$name"
            systemd-creds decrypt "$file" - 2>/dev/null | cmp -s - "$now/$name" || changed=yes
        elif ! cmp -s "$file" "$now/$name"; then
            [[ $name != *.pem ]] || openssl x509 -noout -in "$file" 2>/dev/null ||
                refuse 65 "$file contains no readable certificate; put the right one there, then reload again"
            changed=yes
        fi
    done
    [ -n "$changed" ] && [ "$(systemd_version)" -lt 260 ] || return 0
    systemctl restart vitrine-keys.service || refuse 70 "the key process did not restart; see: journalctl --unit vitrine-keys"
}

# Clients wait meanwhile. Anything that would prevent the start is found before the stop.
start_anew() {
    local words
    words=$(run_inside vitrine.service check 2>&1) || :
    words=$(grep -E '^/etc/vitrine/vitrine\.conf:|^(settings file|content folder) ' <<<"$words") || words=''
    if [ -n "$words" ]; then
        LC_ALL=C tr -c '\n -~' '?' <<<"$words" >&2
        refuse 70 "not reloaded: the old state stays, and the lines above say why; correct that and reload again"
    fi
    systemctl restart vitrine.service || refuse 70 "the server did not restart; see: journalctl --unit 'vitrine*'"
}

# systemctl reload succeeds as soon as the server has responded, even if it kept its old state.
is_reload_refused() {
    [[ $(systemctl show --value --property=StatusText vitrine.service) == *'Not reloaded'* ]]
}

reload() {
    local before anew
    [ $# -eq 0 ] || refuse 64 "reload takes no arguments; see: vitrinectl --help"
    [ -n "$(attached_image)" ] || refuse 75 "no image is attached; run: vitrinectl attach IMAGE"
    systemctl --quiet is-active vitrine.service ||
        refuse 70 "the server is not running; journalctl --unit 'vitrine*' says why; to start it, run: systemctl restart vitrine.service"
    need_tool openssl openssl
    before=$(date +%s)
    take_credentials
    bind_folders
    if [ -n "$anew" ]; then
        start_anew
        echo "reloaded; see what is served with: vitrinectl status"
        return
    fi
    systemctl reload vitrine.service || refuse 70 "the server does not respond; see: journalctl --unit 'vitrine*'"
    if is_reload_refused; then
        journalctl --quiet --no-pager --output=short --since="@$before" --unit='vitrine*' >&2 || :
        refuse 70 "not reloaded: the old state stays, and the log above says why; correct that and reload again"
    fi
    echo "reloaded; see what is served with: vitrinectl status"
}
