/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "metadata.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/directory.h"
#include "kept.h"
#include "rules_file.h"

void metadata_begin(struct metadata *metadata) {
    for (int place = 0; place < METADATA_PLACES; place++)
        metadata->rules[place].is_there = false;
}

const struct metafile_rule *metadata_find(const struct metadata *metadata, enum metadata_place place) {
    const struct metadata_rule *found = &metadata->rules[place];
    return found->is_there ? &found->rule : NULL;
}

/* ---- rules that apply ---- */

static void apply_to(struct metadata_rule *place, const struct metafile *meta, const char *path) {
    const struct metafile_rule *rule = metafile_find(meta, path);
    if (!rule)
        return;
    place->is_there = true;
    place->rule = *rule;
    snprintf(place->value, sizeof place->value, "%s", rule->value);
    place->rule.value = place->value;
    place->rule.pattern = NULL;
}

/* inside: what follows the folder of the metadata in the path. */
static void apply(struct metadata *metadata, const struct metafile *meta, const char *inside) {
    char path[2 * BENEATH_PATH_SIZE];
    size_t length = strlen(inside);
    memcpy(path, inside, length + 1);
    if (metadata->is_whole)
        apply_to(&metadata->rules[METADATA_FIRST], meta, path);
    for (int i = 0; i < 2 && !metadata->is_whole; i++) {
        if (!metadata->names[i])
            continue;
        snprintf(path + length, sizeof path - length, "%s", metadata->names[i]);
        apply_to(&metadata->rules[METADATA_FIRST + i], meta, path);
    }
    path[length] = '\0';
    char *slash = metadata->wants_folder ? strrchr(path, '/') : NULL;
    if (slash) {
        *slash = '\0';
        apply_to(&metadata->rules[METADATA_FOLDER], meta, path);
    }
}

/* ---- metadata that is kept ---- */

static void dispose(void *thing) {
    metafile_dispose(thing);
}

/* Keeps parsed metadata, or disposes of it if that is not possible. length: of its text. */
static void keep(struct metafile *meta, size_t length, const struct file_version *version, uint64_t owner) {
    struct metafile *kept = NULL;
    if (file_version_is_settled(version, time(NULL)))
        kept = kept_make(KEPT_METADATA, version, sizeof *version, owner, sizeof *meta,
                         length + 2 * meta->count * sizeof *meta->rules, dispose);
    if (kept)
        *kept = *meta;
    else
        metafile_dispose(meta);
}

void metadata_enter(struct metadata *metadata, const struct beneath_path *path, int content, struct trail *trail) {
    struct rules_file file;
    int found = rules_file_find(&file, path->folder, path->text, path->reached, DIRECTORY_METAFILE);
    if (found == 0)
        return;
    const char *inside = path->text + path->reached;
    /* Nothing is kept under the version of a link. */
    bool is_file = found > 0 && S_ISREG(file.status.st_mode);
    struct file_version version = file_version_of(&file.status);
    const struct metafile *kept = is_file ? kept_find(KEPT_METADATA, &version, sizeof version) : NULL;
    if (kept) {
        trail_add(trail, file.path, strlen(file.path), &file.status);
        apply(metadata, kept, inside);
        return;
    }
    struct metafile meta;
    char *text = NULL;
    long length = found < 0 ? found : rules_file_read(&file, content, path->folder, METAFILE_MAX, trail, &text);
    if (length >= 0 && metafile_parse(&meta, text, (size_t)length, rules_file_report, &file) >= 0) {
        apply(metadata, &meta, inside);
        version = file_version_of(&file.status);
        if (is_file)
            keep(&meta, (size_t)length, &version, kept_owner(path->text, path->root));
        else
            metafile_dispose(&meta);
    } else {
        trail->is_incomplete = true;
        if (length < 0 && !beneath_is_busy(length))
            rules_file_report(1, length == -EFBIG ? "too long for a metadata file; ignored" : "cannot be read; ignored",
                              &file);
    }
    free(text);
}
