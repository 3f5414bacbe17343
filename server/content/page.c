/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/text.h"
#include "folder_listing.h"
#include "media.h"
#include "rules.h"

#define FILE_PATH_MAX (REQUEST_HOST_MAX + REQUEST_URI_MAX + sizeof(".directory-listing-ok"))

/* A folder's name without its slash: to the name with it. Links relative to its page only work there. */
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

/* What a request names, opened. */
struct found {
    int file; /* or -errno */
    struct stat status;
};

/* What was found under this name, which the request gave or a folder's page has. The reply takes the descriptor over. */
static int answer_file(const struct capsules *capsules, const char *name, const struct found *found,
                       const struct meta_rule *rule, const struct request *request, struct reply *reply) {
    int result = -ENOENT;
    if (S_ISREG(found->status.st_mode)) {
        char type[REPLY_META_MAX + 1];
        meta_describe(type, rule, media_type(name), capsules->language);
        reply_set(reply, STATUS_SUCCESS, type);
        reply->body = found->file;
        reply->body_size = (uint64_t)found->status.st_size;
        return 0;
    }
    if (S_ISDIR(found->status.st_mode) && request->path[strlen(request->path) - 1] != '/') {
        answer_folder(reply, request);
        result = 0;
    }
    close(found->file);
    return result;
}

/* ---- the whole ---- */

/* What is behind the last slash of a path. */
static const char *last_name(const char *path) {
    return strrchr(path, '/') + 1;
}

/* Puts a name behind the first `length` bytes of where a way leads. False: it is too long for a path. */
static bool append_name(struct way *way, size_t length, const char *name) {
    bool fits = length + strlen(name) < sizeof way->path.text;
    if (fits)
        strcpy(way->path.text + length, name);
    return fits;
}

/*
 * Opens a name in the folder that was entered, and puts it behind the folder's path. A link is walked from the content
 * folder: only there is it known what it must not leave. path: the whole path, as it was asked for, with `name` at its end.
 */
static struct found open_name(struct way *way, const char *path, const char *name) {
    struct found found = {.file = -ENAMETOOLONG};
    if (append_name(way, way->path.reached, name)) {
        found.file = openat(way->path.folder, name, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
        if (found.file < 0)
            found.file = errno == ELOOP ? rules_open(way, path, BENEATH_READ) : -errno;
    }
    if (found.file >= 0 && fstat(found.file, &found.status) < 0) {
        close(found.file);
        found.file = -EIO;
    }
    return found;
}

/*
 * Opens what the request names; of a folder its page, whose name is put behind `end` then. path: as it was asked for, up to
 * `end`, with room behind it. way: to the folder; afterwards to what was opened, or as far as it led.
 */
static struct found open_page(struct way *way, char *path, char *end) {
    static const char *const pages[] = {"index.gmi", "index.gemini"};
    struct found found = {.file = -ENOENT};
    if (end[-1] != '/')
        return open_name(way, path, last_name(path));
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]) && found.file == -ENOENT && !way->refused; i++) {
        strcpy(end, pages[i]);
        found = open_name(way, path, pages[i]);
        if (found.file != -ENOENT)
            return found;
        /* A link may have led elsewhere, and to nothing. */
        *end = '\0';
        if (way->path.strayed && rules_enter(way, path) < 0)
            return found;
    }
    append_name(way, way->path.reached, pages[0]);
    return found;
}

/* Metadata can be about a folder that is no longer there, by its name without the slash. */
static const struct meta_rule *find_rule(struct way *way, const struct request *request, bool is_there,
                                         struct meta *meta) {
    const struct meta_rule *rule = rules_find(way, meta);
    size_t length = strlen(request->path);
    if (rule || is_there || length < 2 || request->path[length - 1] != '/')
        return rule;
    size_t end = strlen(way->path.text);
    while (end > 0 && way->path.text[end - 1] != '/')
        end--;
    if (end <= way->path.root)
        return NULL;
    meta_dispose(meta);
    way->path.text[end - 1] = '\0';
    rule = rules_find(way, meta);
    way->path.text[end - 1] = '/';
    return rule;
}

static int answer_listing(const struct capsules *capsules, const struct way *way, const struct meta_rule *rule,
                          const struct request *request, struct reply *reply) {
    char type[REPLY_META_MAX + 1];
    int result = folder_listing(way, request->path, reply);
    if (result < 0)
        return result;
    struct reply_text *text = reply->text;
    meta_describe(type, rule, "text/gemini", capsules->language);
    reply_set(reply, STATUS_SUCCESS, type);
    reply->text = text;
    reply->body_size = text->size;
    return 0;
}

/* Goes the way to the folder, and opens what the request names. path, end: see open_page. */
static struct found find_page(struct way *way, char *path, char *end) {
    struct found found = {0};
    char name[FILE_PATH_MAX];
    strcpy(name, last_name(path));
    end[-(ptrdiff_t)strlen(name)] = '\0';
    found.file = rules_enter(way, path);
    strcat(path, name);
    if (found.file == 0)
        return open_page(way, path, end);
    /* What is not there may have been moved. */
    append_name(way, strlen(way->path.text), name[0] ? name : "index.gmi");
    return found;
}

/* Answers what a way leads to. path, end: see open_page. */
static int answer_at(const struct capsules *capsules, char *path, char *end, const struct request *request,
                     struct way *way) {
    struct meta meta = {0};
    struct reply *reply = way->reply;
    struct found found = find_page(way, path, end);
    int result = found.file < 0 ? found.file : 0;

    if (way->refused)
        return 0;
    if (beneath_is_busy(result))
        return result; /* it might be a folder with an access list of its own */
    bool is_private = rules_is_private(way);
    if (is_private || (found.file >= 0 && end[-1] != '/' && S_ISDIR(found.status.st_mode) &&
                       !rules_admit_to_folder(way, found.file))) {
        if (found.file >= 0)
            close(found.file);
        return is_private ? -ENOENT : 0;
    }
    const struct meta_rule *rule = find_rule(way, request, found.file >= 0, &meta);
    if (rule && rule->kind == META_HEADER) {
        if (found.file >= 0)
            close(found.file);
        reply_set(reply, rule->status, rule->value);
        result = 0;
    } else if (found.file >= 0) {
        result = answer_file(capsules, path, &found, rule, request, reply);
    } else if (result == -ENOENT && end[-1] == '/' && way->path.folder >= 0) {
        result = answer_listing(capsules, way, rule, request, reply);
    }
    meta_dispose(&meta);
    return result;
}

int page_answer(const struct capsules *capsules, const char *capsule, const struct request *request,
                struct visitor *visitor, struct reply *reply) {
    char path[FILE_PATH_MAX];
    char *end = stpcpy(stpcpy(path, capsule), request->path);
    struct way way;
    rules_begin(&way, capsules->folder, visitor, reply);
    int result = answer_at(capsules, path, end, request, &way);
    rules_leave(&way);
    return result;
}
