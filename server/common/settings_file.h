/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The settings file on the disk: settings.h with a path and with words for the log. */

#include "settings.h"

#define SETTINGS_PATH "/etc/vitrine/vitrine.conf"

/*
 * Reads the settings. path: of the file; NULL: SETTINGS_PATH, where a missing file means the defaults.
 * Returns 0, EX_NOINPUT (missing, unreadable, no regular file) or EX_CONFIG (with faults), after logging one line for
 * each fault, as FILE:LINE: sentence. Unless it is 0, settings are untouched.
 */
int settings_read(struct settings *settings, const char *path);

/* The same, with each fault in the file told to `fault` instead of the log. */
int settings_load(struct settings *settings, const char *path, text_fault *fault, void *context);
