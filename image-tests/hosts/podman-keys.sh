# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2034 # for podman.sh
# Like podman.sh, with a separate container for the key process.

. image-tests/hosts/podman.sh
keys_apart=yes
