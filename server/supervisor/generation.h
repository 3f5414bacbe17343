/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What one generation of workers is given: settings, capsules and the public part of their identities. A reload makes
 * the next generation, beside the one that serves, and only a whole one takes its place.
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
    /* The host whose identity answers clients without a known server name; in certificates, where it may be barred. */
    const char *fallback;
    size_t capsule_count;
    bool is_sample;       /* the content folder holds no capsule, and the sample is shown */
    bool has_lost_page;   /* a page lies in the content folder itself, where it belongs to no host */
    size_t unnamed_count; /* folders that nobody can ask for, because no host is named so */
    size_t closed_count;  /* files and folders of capsules that the server may not read (closed.h) */
};

/* Where a generation comes from. Texts belong to the caller. */
struct generation_sources {
    const char *settings; /* the settings file; NULL: the usual one, if there is one */
    const char *content;  /* the content folder */
    const char *sample;   /* a content folder whose capsule SAMPLE_HOST is shown while the other one holds none */
};

#define SAMPLE_HOST "localhost"

/*
 * Reads the settings and opens the content folder.
 * Returns 0, or the exit status after logging one sentence (settings_read; EX_NOINPUT for the content folder).
 * The caller owns the generation: generation_dispose, in both cases.
 */
int generation_open(struct generation *generation, const struct generation_sources *sources);

/*
 * Asks the key process, by its control socket, for the identities of all capsules. Where there is no capsule, the
 * sample is shown to every host that is asked for, unless the key process has identities of other hosts. Returns 0,
 * EX_NOINPUT where there is no capsule and no sample, EX_UNAVAILABLE where the key process does not answer, EX_DATAERR
 * where none of the identities can be used, EX_CANTCREAT where none could be made; all after logging one sentence.
 */
int generation_identify(struct generation *generation, const struct generation_sources *sources, int control);

/* Gives everything back. Safe on one that was never opened (all zero, capsules.folder -1). */
void generation_dispose(struct generation *generation);
