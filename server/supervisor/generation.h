/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The input of one generation of workers: settings, capsules and the public part of their identities. A reload makes
 * the next generation while the present one serves, and replaces it only if the new one is complete.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/settings.h"
#include "content/capsule.h"
#include "protocol/certificate.h"

struct generation {
    struct settings settings;
    struct capsules capsules;
    struct certificates certificates;
    /*
     * The host whose identity clients without a known server name get; it is in `certificates`, where it may be barred.
     */
    const char *fallback;
    size_t capsule_count;
    bool is_sample;       /* the content folder holds no capsule, and the sample is shown */
    bool has_lost_page;   /* a page is directly in the content folder, where it belongs to no host */
    size_t unnamed_count; /* folders that nobody can ask for, because their names cannot be host names */
    size_t closed_count;  /* files and folders of capsules that the server may not read (closed.h) */
};

/* The sources of a generation. The caller owns the strings. */
struct generation_sources {
    const char *settings; /* the settings file; NULL: the default one, if it exists */
    const char *content;  /* the content folder */
    const char *sample;   /* a content folder whose capsule SAMPLE_HOST is shown while `content` has no capsule */
    const struct certificates *present; /* of the generation that serves now: these hosts are not new; NULL: none */
};

#define SAMPLE_HOST "localhost"

/*
 * Reads the settings and opens the content folder.
 * Returns 0, or the exit status after logging one sentence (settings_read; EX_NOINPUT for the content folder).
 * The caller owns the generation: generation_dispose, in both cases.
 */
int generation_open(struct generation *generation, const struct generation_sources *sources);

/*
 * Asks the key process, over its control socket, for the identities of all capsules. If there is no capsule, every host
 * shows the sample, unless the key process has identities of other hosts. Returns 0, or after logging one sentence:
 * EX_NOINPUT if there is neither a capsule nor a sample, EX_UNAVAILABLE if the key process does not answer, EX_DATAERR
 * if no identity can be used, EX_CANTCREAT if none could be made.
 */
int generation_identify(struct generation *generation, const struct generation_sources *sources, int control);

/* Frees everything. Safe on a generation that was never opened (all zero, capsules.folder -1). */
void generation_dispose(struct generation *generation);
