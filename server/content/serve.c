/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/directory.h"
#include "common/text.h"
#include "folder_listing.h"
#include "kept.h"
#include "media.h"
#include "page_cache.h"
#include "path_rules.h"

#define FILE_PATH_MAX (HOSTNAME_MAX + REQUEST_URI_MAX + sizeof(DIRECTORY_LISTING))

/* Redirects a folder's name without the slash to the name with it. Links relative to its page work only there. */
static void answer_folder(struct reply *reply, const struct request *request) {
    char target[REPLY_META_MAX + 1];
    int length = text_encode_path(target, sizeof(target), request->path);
    size_t query_length = request->has_query ? 1 + strlen(request->query) : 0;
    if (length < 0 || (size_t)length + 1 + query_length > REPLY_META_MAX) {
        reply_set(reply, STATUS_NOT_FOUND, "Not found");
        return;
    }
    char *end = target + length;
    *end++ = '/';
    if (request->has_query) {
        *end++ = '?';
        end = stpcpy(end, request->query);
    }
    *end = '\0';
    reply_set(reply, STATUS_REDIRECT_PERMANENT, target);
}

/* The page of a folder has one of these names. */
static const char *const pages[] = {"index.gmi", "index.gemini"};
#define PAGES (sizeof pages / sizeof pages[0])

/* What a request names, opened. */
struct found {
    int file; /* or -errno */
    struct stat status;
    enum metadata_place place; /* where its rule is */
};

/*
 * Responds with what was found under this name, which the request gave or a folder's page has. The reply owns the
 * descriptor from now on.
 */
static int answer_file(struct lookup *lookup, const char *name, const struct found *found,
                       const struct metafile_rule *rule) {
    const struct request *request = lookup->question->request;
    struct reply *reply = lookup->question->reply;
    int result = -ENOENT;
    if (S_ISREG(found->status.st_mode)) {
        char type[REPLY_META_MAX + 1];
        metafile_describe(type, rule, media_type(name), lookup->question->language);
        reply_set(reply, STATUS_SUCCESS, type);
        reply->body = found->file;
        reply->body_size = (uint64_t)found->status.st_size;
        trail_add(&lookup->trail, lookup->path.text, strlen(lookup->path.text), &found->status);
        return 0;
    }
    if (S_ISDIR(found->status.st_mode) && request->path[strlen(request->path) - 1] != '/') {
        answer_folder(reply, request);
        result = 0;
    }
    close(found->file);
    return result;
}

/* ---- serving a path ---- */

/* Returns the part of a path after the last slash. */
static const char *last_name(const char *path) {
    return strrchr(path, '/') + 1;
}

/*
 * Appends a name to the first `length` bytes of the lookup's path. Returns false if the result is too long for a path.
 */
static bool append_name(struct lookup *lookup, size_t length, const char *name) {
    bool fits = length + strlen(name) < sizeof lookup->path.text;
    if (fits)
        strcpy(lookup->path.text + length, name);
    return fits;
}

/*
 * Opens a name in the folder that was entered, and appends it to the folder's path. A link is walked from the content
 * folder: only then do we know what it must not leave. path: the whole requested path, with `name` at its end.
 */
static struct found open_name(struct lookup *lookup, const char *path, const char *name, enum metadata_place place) {
    struct found found = {.file = -ENAMETOOLONG, .place = place};
    if (append_name(lookup, lookup->path.reached, name)) {
        found.file = openat(lookup->path.folder, name, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
        if (found.file < 0 && errno == ELOOP) {
            found.file = path_rules_open(lookup, path, BENEATH_READ);
            found.place = METADATA_FIRST;
        } else if (found.file < 0) {
            found.file = -errno;
        }
    }
    if (found.file >= 0 && fstat(found.file, &found.status) < 0) {
        close(found.file);
        found.file = -EIO;
    }
    return found;
}

/*
 * Opens what the request names; for a folder its page, whose name is then put at `end`. path: as requested, up to
 * `end`, with room after it. lookup: of the folder; afterwards of what was opened, or as far as it got.
 */
static struct found open_page(struct lookup *lookup, char *path, char *end) {
    struct found found = {.file = -ENOENT};
    if (end[-1] != '/')
        return open_name(lookup, path, last_name(path), METADATA_FIRST);
    for (size_t i = 0; i < PAGES && found.file == -ENOENT && !lookup->refused; i++) {
        strcpy(end, pages[i]);
        found = open_name(lookup, path, pages[i], METADATA_FIRST + i);
        if (found.file != -ENOENT)
            return found;
        /* A link may have led elsewhere, to nothing. */
        *end = '\0';
        if (lookup->path.strayed && path_rules_enter(lookup, path) < 0)
            return found;
    }
    append_name(lookup, lookup->path.reached, pages[0]);
    found.place = METADATA_FIRST;
    return found;
}

/* A rule can be for a folder that no longer exists, under its name without the slash. */
static const struct metafile_rule *find_rule(const struct lookup *lookup, const struct found *found) {
    const struct metafile_rule *rule = path_rules_find(lookup, found->place);
    return rule || found->file >= 0 ? rule : path_rules_find(lookup, METADATA_FOLDER);
}

static int answer_listing(const struct lookup *lookup, const struct metafile_rule *rule) {
    struct reply *reply = lookup->question->reply;
    char type[REPLY_META_MAX + 1];
    int result = folder_listing(lookup, lookup->question->request->path, reply);
    if (result < 0)
        return result;
    struct reply_text *text = reply->text;
    metafile_describe(type, rule, "text/gemini", lookup->question->language);
    reply_set(reply, STATUS_SUCCESS, type);
    reply->text = text;
    reply->body_size = text->size;
    return 0;
}

/* Enters the folder, and opens what the request names. path, end: see open_page. */
static struct found find_page(struct lookup *lookup, char *path, char *end) {
    struct found found = {0};
    const char *name = last_name(lookup->question->request->path);
    struct metadata *metadata = &lookup->metadata;
    metadata->wants_folder = name[0] == '\0';
    metadata->names[0] = name[0] == '\0' ? pages[0] : name;
    metadata->names[1] = name[0] == '\0' ? pages[1] : NULL;
    end[-(ptrdiff_t)strlen(name)] = '\0';
    found.file = path_rules_enter(lookup, path);
    strcat(path, name);
    if (found.file == 0)
        return open_page(lookup, path, end);
    /* A missing file may have been moved. */
    append_name(lookup, strlen(lookup->path.text), metadata->names[0]);
    return found;
}

/* Responds with what the lookup leads to. path, end: see open_page. */
static int answer_at(struct lookup *lookup, char *path, char *end) {
    struct found found = find_page(lookup, path, end);
    int result = found.file < 0 ? found.file : 0;

    if (lookup->refused)
        return 0;
    if (beneath_is_busy(result))
        return result; /* it may be a folder with an access list of its own */
    bool is_private = path_rules_is_private(lookup);
    if (is_private || (found.file >= 0 && end[-1] != '/' && S_ISDIR(found.status.st_mode) &&
                       !path_rules_admit_to_folder(lookup, found.file))) {
        if (found.file >= 0)
            close(found.file);
        return is_private ? -ENOENT : 0;
    }
    const struct metafile_rule *rule = find_rule(lookup, &found);
    if (rule && rule->kind == METAFILE_HEADER) {
        if (found.file >= 0)
            close(found.file);
        reply_set(lookup->question->reply, rule->status, rule->value);
        result = 0;
    } else if (found.file >= 0) {
        result = answer_file(lookup, path, &found, rule);
    } else if (result == -ENOENT && end[-1] == '/' && lookup->path.folder >= 0) {
        result = answer_listing(lookup, rule);
    }
    return result;
}

/*
 * Keeps a small page for later visits. An alias is a link in the content folder, so the lookup then depends on that
 * folder, too. content: the folder's status before the lookup.
 */
static void keep_page(struct lookup *lookup, const char *path, size_t length, const struct stat *content) {
    const struct beneath_path *way = &lookup->path;
    if (lookup->is_protected || way->root == 0)
        return;
    if (strncmp(way->text, path, way->root) != 0)
        trail_add(&lookup->trail, ".", 1, content);
    page_cache_keep(path, length, &lookup->trail, kept_owner(way->text, way->root), lookup->question->reply);
}

int serve_path(const struct question *question, const char *capsule) {
    char path[FILE_PATH_MAX];
    char *end = stpcpy(stpcpy(path, capsule), question->request->path);
    struct lookup lookup;
    struct stat content;
    if (page_cache_find(question->content, path, (size_t)(end - path), question->reply))
        return 0;
    bool is_known = fstat(question->content, &content) == 0; /* before looking into it */
    path_rules_begin(&lookup, question);
    int result = answer_at(&lookup, path, end);
    if (result == 0)
        keep_page(&lookup, path, (size_t)(end - path), is_known ? &content : NULL);
    path_rules_leave(&lookup);
    return result;
}
