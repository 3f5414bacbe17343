/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Metadata files (`.meta`), in the format of agate. Pure: text to rules, a path to its rule.
 *
 *   # a comment, up to the end of the line
 *   index.gmi: ;lang=en-GB                    parameters, put behind the media type that the ending gives
 *   LICENSE: text/plain; charset=utf-8        a media type, in place of it
 *   gone.gmi: 52 This page is no longer here  a whole header, whether or not there is a file
 *   drafts/wip.gmi:                           nothing: no default language here
 *
 * The pattern before the first `:` (or `=`) is a path relative to the file's folder. `*` matches any characters except
 * a slash, `?` matches one, `[abc]`, `[a-z]` and `[!abc]` match one of a set, and `**` in place of a folder matches any
 * number of folders. None of these matches a dot at the beginning of a name. Only the last matching rule applies.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"
#include "reply.h"

#define METAFILE_MAX 65536 /* bytes; a longer file is not a metadata file */

enum metafile_kind {
    METAFILE_PARAMETERS, /* value: "" or parameters with their leading semicolon */
    METAFILE_TYPE,       /* value: a media type, with parameters or without */
    METAFILE_HEADER,     /* status, and value as its META */
};

/* One line of a metadata file. struct metafile owns the strings. */
struct metafile_rule {
    const char *pattern;
    enum metafile_kind kind;
    enum status status;
    const char *value;
    unsigned line;
};

/* A parsed metadata file. All zero: no rules. */
struct metafile {
    struct metafile_rule *rules;
    size_t count;
    char *text;
};

/*
 * Reads a metadata file. text: `length` bytes, need not end with NUL, not kept. Faulty lines are reported and ignored;
 * the others still apply. Returns the number of faults, or -errno: -ENOMEM, -EFBIG above METAFILE_MAX. On error meta is
 * all zero. The caller frees meta with metafile_dispose.
 */
int metafile_parse(struct metafile *meta, const char *text, size_t length, text_fault *fault, void *context);

/* Frees the rules. Safe if all zero or already disposed of. */
void metafile_dispose(struct metafile *meta);

/*
 * Returns the rule for a file, or NULL. path: relative to the folder of the metadata file, decoded, without a leading
 * or trailing slash; for a folder's page, the path of the page.
 */
const struct metafile_rule *metafile_find(const struct metafile *meta, const char *path);

/*
 * Writes the media type of a file with its parameters. rule: NULL, or a rule that is not METAFILE_HEADER. guess: the
 * type from the file's ending. language: the default language or languages for text/gemini, separated by commas, or
 * NULL. Returns false if the result would be longer than a META may be; type is then only the guess.
 */
bool metafile_describe(char type[static REPLY_META_MAX + 1], const struct metafile_rule *rule, const char *guess,
                       const char *language);

/* Is this a list of well-formed language tags, separated by commas, without spaces? */
bool metafile_is_languages(const char *languages, size_t length);
