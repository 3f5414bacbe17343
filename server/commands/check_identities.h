/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The part of `vitrine check` that looks at certificates. */

#include <stdbool.h>

#include "findings.h"

/*
 * Checks the certificates in a folder. Does nothing if the folder does not exist (-1) or cannot be read. folder: a
 * descriptor. given: it is the folder of credentials.
 */
void check_identities(struct check *check, int folder, const char *folder_name, bool given);

/* Checks given identities where the server would read them in a container ($CREDENTIALS_DIRECTORY). */
void check_given(struct check *check);
