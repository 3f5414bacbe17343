# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2034 # for podman.sh
# As podman.sh, with a container of its own for the keys.

. image-tests/hosts/podman.sh
keys_apart=yes
