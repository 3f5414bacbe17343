/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The rules of the `.meta` files on a path. Each file is read when its folder is entered, at most once per lookup, and
 * applied immediately to the names that may be looked up there: rules of inner folders replace those of outer ones. So
 * a lookup needs memory for only one file at a time. Parsed metadata is kept for later lookups (kept.h), by the version
 * of its file.
 */

#include <stdbool.h>

#include "common/beneath.h"
#include "metafile.h"
#include "trail.h"

/*
 * What a rule can be looked up for, after path_rules_enter: one of two names in the last folder, or that folder itself.
 */
enum metadata_place {
    METADATA_FIRST, /* after path_rules_open: the whole path */
    METADATA_SECOND,
    METADATA_FOLDER, /* under its name without the slash */
    METADATA_PLACES,
};

struct metadata {
    const char *names[2]; /* names in the folder that is about to be entered; NULL: none */
    bool is_whole;        /* the path is complete without them */
    bool wants_folder;
    struct metadata_rule {
        bool is_there;
        struct metafile_rule rule; /* its value is in `value` */
        char value[REPLY_META_MAX + 1];
    } rules[METADATA_PLACES];
};

/* Forgets all rules: a walk begins. */
void metadata_begin(struct metadata *metadata);

/* Applies the metadata of a folder that was just entered, if it has any. trail: records what was read. */
void metadata_enter(struct metadata *metadata, const struct beneath_path *path, int content, struct trail *trail);

/* Returns the rule of the innermost folder that has one, or NULL. Valid as long as `metadata`, until the next walk. */
const struct metafile_rule *metadata_find(const struct metadata *metadata, enum metadata_place place);
