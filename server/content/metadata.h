/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What the `.meta` files on a path say. Each is read when its folder is entered, at most once in a lookup, and applied
 * at once to the names that may be asked for there: rules of inner folders replace those of outer ones. So a lookup
 * needs memory for one file at a time. What was parsed is kept for later lookups (kept.h), by the version of its file.
 */

#include <stdbool.h>

#include "common/beneath.h"
#include "metafile.h"
#include "trail.h"

/* What a rule can be asked for, after path_rules_enter: one of two names in the last folder, or that folder itself. */
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

/* Applies the metadata of a folder that was just entered, if it has any. trail: where to note what was read. */
void metadata_enter(struct metadata *metadata, const struct beneath_path *path, int content, struct trail *trail);

/* Returns the rule of the innermost folder that has one, or NULL. Valid as long as `metadata`, until the next walk. */
const struct metafile_rule *metadata_find(const struct metadata *metadata, enum metadata_place place);
