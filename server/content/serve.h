/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Turns a path in a capsule into a response: access list, metadata, file, folder's page, listing. */

#include "path_rules.h"

/*
 * Responds to a request for a path that may be looked up (no dotfile). capsule: the name of its folder in the content
 * folder. Returns 0, or -errno with the reply not set: there is no such file (or capsule).
 */
int serve_path(const struct question *question, const char *capsule);
