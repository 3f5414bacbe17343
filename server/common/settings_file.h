/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Reads the settings file from disk and logs its faults (settings.h parses it). */

#include "settings.h"

#define SETTINGS_PATH "/etc/vitrine/vitrine.conf"

/*
 * Reads the settings. path: the file; NULL: SETTINGS_PATH, and a missing file means the defaults. Returns 0, or after
 * logging each fault as FILE:LINE: sentence, EX_NOINPUT (missing, unreadable, not a regular file), EX_CONFIG (faults in
 * it, or too long) or EX_OSERR (no memory). Unless it returns 0, settings are unchanged.
 */
int settings_read(struct settings *settings, const char *path);

/* The same, but reports each fault in the file to `fault` instead of the log. */
int settings_load(struct settings *settings, const char *path, text_fault *fault, void *context);
