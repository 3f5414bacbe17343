# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the sourcing script sets folder and uses registry
# Sourced by tests that need a registry on 127.0.0.1 in their own network namespace. The registry listens on
# $registry_port. The sourcing script sets $folder, for temporary files, and ends the process $registry.
registry='' registry_user='' # registry_user: USER:PASSWORD, or empty if the registry requires no login
registry_port=$((20000 + RANDOM % 10000))

start_registry() {
    ip link set lo up
    cat >"$folder/registry.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $folder/registry}}
http: {addr: "127.0.0.1:$registry_port"}
log: {level: error}
END
    [ -z "$registry_user" ] || want_login
    docker-registry serve "$folder/registry.yml" >"$folder/registry.log" 2>&1 &
    registry=$!
}

# Writes the file with the password hash for the registry, and $folder/login.json in the format of podman login.
want_login() {
    python3 - "${registry_user#*:}" >"$folder/hash" <<'PYTHON'
import ctypes, sys
library = ctypes.CDLL("libcrypt.so.1")
library.crypt.restype = ctypes.c_char_p
print(library.crypt(sys.argv[1].encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode())
PYTHON
    echo "${registry_user%%:*}:$(cat "$folder/hash")" >"$folder/users"
    echo "auth: {htpasswd: {realm: registry, path: $folder/users}}" >>"$folder/registry.yml"
    printf '{"auths": {"127.0.0.1:%s": {"auth": "%s"}}}\n' "$registry_port" "$(printf %s "$registry_user" | base64)" >"$folder/login.json"
}

registry_answers() {
    local number
    for number in {1..100}; do
        ! (: <"/dev/tcp/127.0.0.1/$registry_port") 2>/dev/null || return 0
        sleep 0.1
    done
    echo "the registry did not start in $number attempts"
    cat "$folder/registry.log"
    return 1
}

# Writes $folder/policy.json, which accepts only images from REGISTRY that oci.key signed, and $folder/registries.d,
# which says where the signatures are. A signature also covers the tag.
write_policy() { # REGISTRY
    mkdir "$folder/registries.d"
    echo "docker: {\"$1\": {use-sigstore-attachments: true}}" >"$folder/registries.d/sigstore.yaml"
    cat >"$folder/policy.json" <<END
{"default": [{"type": "reject"}],
 "transports": {"docker": {"$1": [{"type": "sigstoreSigned", "keyPath": "$PWD/oci.pub"}]}}}
END
}
