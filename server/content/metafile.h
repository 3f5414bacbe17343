/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Metadata files (`.meta`), in the form that agate's users know. Pure: text to rules, a path to its rule.
 *
 *   # a comment, up to the end of the line
 *   index.gmi: ;lang=en-GB                    parameters, put behind the media type that the ending gives
 *   LICENSE: text/plain; charset=utf-8        a media type, in place of it
 *   gone.gmi: 52 This page is no longer here  a whole header, whether or not there is a file
 *   drafts/wip.gmi:                           nothing: no default language here
 *
 * The name before the first `:` (or `=`) is a path relative to the file's folder. In it `*` stands for any characters
 * but a slash, `?` for one, `[abc]`, `[a-z]` and `[!abc]` for one of some, and `**` in place of a folder for any
 * number of folders. None of these matches a dot at the beginning of a name. The last rule that matches applies alone.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"
#include "reply.h"

#define METAFILE_MAX 65536 /* bytes; what is longer is not metadata */

enum metafile_kind {
    METAFILE_PARAMETERS, /* value: "" or parameters with their leading semicolon */
    METAFILE_TYPE,       /* value: a media type, with parameters or without */
    METAFILE_HEADER,     /* status, and value as its META */
};

/* One line of a metadata file. The strings belong to struct metafile. */
struct metafile_rule {
    const char *pattern;
    enum metafile_kind kind;
    enum status status;
    const char *value;
    unsigned line;
};

/* A metadata file that has been read. All zero: one without rules. */
struct metafile {
    struct metafile_rule *rules;
    size_t count;
    char *text;
};

/*
 * Reads a metadata file. text: `length` bytes, need not end with NUL, not kept.
 * Lines with a fault are reported and left out, the others still count.
 * Returns how many faults there were, or -errno: -ENOMEM, -EFBIG above METAFILE_MAX. On error meta is all zero.
 * The caller owns meta: metafile_dispose.
 */
int metafile_parse(struct metafile *meta, const char *text, size_t length, text_fault *fault, void *context);

/* Gives back what the rules hold. Safe on one that is all zero or already disposed of. */
void metafile_dispose(struct metafile *meta);

/*
 * The rule for a file, or NULL. path: relative to the folder of the metadata file, decoded, without a leading or
 * trailing slash; for a folder's page the path of the page.
 */
const struct metafile_rule *metafile_find(const struct metafile *meta, const char *path);

/*
 * Writes the media type of a file: what its rule says, and what goes behind it.
 * rule: NULL or one of another kind than METAFILE_HEADER. guess: the type by its ending. language: the default language
 * or languages for text/gemini, separated by commas, or NULL. Returns false where it would be longer than a META may
 * be; type is then the guess alone.
 */
bool metafile_describe(char type[static REPLY_META_MAX + 1], const struct metafile_rule *rule, const char *guess,
                       const char *language);

/* Is this a list of well-formed language tags, separated by commas, without spaces? */
bool metafile_is_languages(const char *languages, size_t length);
