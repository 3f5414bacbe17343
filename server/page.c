/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "listing.h"
#include "media.h"
#include "rules.h"
#include "text.h"

#define FILE_PATH_MAX (REQUEST_HOST_MAX + REQUEST_URI_MAX + sizeof(".directory-listing-ok"))
#define PREAMBLE_MAX 65536 /* bytes */
#define ENTRIES_MAX 4096   /* a longer listing is no use to a reader */

/* Nothing of this may block: not a FIFO without a writer, nor a terminal. */
static const int file_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

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

/* What was found at `path`, which begins with the capsule's name. The reply takes the descriptor over. */
static int answer_file(const struct capsules *capsules, const char *path, const struct found *found,
                       const struct meta_rule *rule, const struct request *request, struct reply *reply) {
    int result = -ENOENT;
    if (S_ISREG(found->status.st_mode)) {
        char type[REPLY_META_MAX + 1];
        meta_describe(type, rule, media_type(path), capsules->language);
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

/* ---- listing ---- */

/* What a visitor could get under this name, as a line of a listing. False: nothing. */
static bool describe_entry(const struct capsules *capsules, const char *path, struct listing_entry *entry) {
    struct stat status;
    int file = beneath_open(capsules->folder, path, file_flags);
    if (file < 0)
        return false;
    bool known = fstat(file, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    close(file);
    entry->is_folder = known && S_ISDIR(status.st_mode);
    entry->size = known ? (uint64_t)status.st_size : 0;
    entry->modified = known ? status.st_mtime : 0;
    return known;
}

/*
 * Reads the names of a folder, at most ENTRIES_MAX; *more: there are others. Returns how many entries there are, or
 * -errno; the names are the caller's to free.
 */
static long read_entries(const struct capsules *capsules, const char *folder, struct listing_entry *entries,
                         bool *more) {
    char path[FILE_PATH_MAX + NAME_MAX + 1];
    long count = 0;
    int descriptor = beneath_open(capsules->folder, folder, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0)
        return descriptor;
    DIR *names = fdopendir(descriptor);
    if (!names) {
        close(descriptor);
        return -ENOMEM;
    }
    size_t length = strlen(folder);
    memcpy(path, folder, length);
    for (const struct dirent *name; (name = readdir(names));) {
        struct listing_entry entry;
        if (name->d_name[0] == '.')
            continue;
        strcpy(path + length, name->d_name);
        if (!describe_entry(capsules, path, &entry))
            continue;
        *more = count == ENTRIES_MAX;
        if (*more)
            break;
        entries[count] = entry;
        entries[count].name = strdup(name->d_name);
        if (entries[count].name)
            count++;
    }
    closedir(names);
    return count;
}

/* Says below a listing that it is not the whole. Without memory for that it stays as it is. Returns its length. */
static long add_note(char **page, long size) {
    static const char note[] = "\nThis folder holds more than is listed here.\n";
    const size_t length = sizeof(note) - 1;
    char *longer = realloc(*page, (size_t)size + length);
    if (!longer)
        return size;
    memcpy(longer + size, note, length);
    *page = longer;
    return size + (long)length;
}

/* path: of the folder, with the capsule's name before it; `end` is its end, with room for a name behind it. */
static int answer_listing(const struct capsules *capsules, char *path, char *end, const struct meta_rule *rule,
                          const struct request *request, struct reply *reply) {
    char *preamble, type[REPLY_META_MAX + 1];
    strcpy(end, ".directory-listing-ok");
    long length = rules_read(capsules->folder, path, PREAMBLE_MAX, &preamble);
    *end = '\0';
    if (length < 0)
        return length == -EFBIG ? -EIO : (int)length;
    struct listing_entry *entries = calloc(ENTRIES_MAX, sizeof *entries);
    bool more = false;
    long count = entries ? read_entries(capsules, path, entries, &more) : -ENOMEM, size = count;
    if (count >= 0)
        size = listing_write(&reply->text, request->path, length > 0 ? preamble : NULL, (size_t)length, entries,
                             (size_t)count);
    if (more && size >= 0)
        size = add_note(&reply->text, size);
    for (long i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].name);
    free(entries);
    free(preamble);
    if (size < 0)
        return (int)size;
    char *page = reply->text;
    meta_describe(type, rule, "text/gemini", capsules->language);
    reply_set(reply, STATUS_SUCCESS, type);
    reply->text = page;
    reply->body_size = (uint64_t)size;
    return 0;
}

/* ---- the whole ---- */

/* Opens what the request names; of a folder its page, whose name is put behind `end` then. */
static struct found open_page(const struct capsules *capsules, char *path, char *end, const struct way *way) {
    static const char *const pages[] = {"index.gmi", "index.gemini"};
    struct found found = {.file = -ENOENT};
    if (end[-1] != '/')
        found.file = beneath_open_behind(capsules->folder, path, way->folder, way->length, file_flags);
    for (size_t i = 0; end[-1] == '/' && i < sizeof(pages) / sizeof(pages[0]) && found.file == -ENOENT; i++) {
        strcpy(end, pages[i]);
        found.file = beneath_open_behind(capsules->folder, path, way->folder, way->length, file_flags);
    }
    if (found.file == -ENOENT && end[-1] == '/')
        strcpy(end, pages[0]);
    if (found.file >= 0 && fstat(found.file, &found.status) < 0) {
        close(found.file);
        found.file = -EIO;
    }
    return found;
}

/* A folder that is named without its slash may have an access list of its own. end: of path, with room behind it. */
static bool admit_to_page(const struct capsules *capsules, char *path, char *end, const struct found *found,
                          struct visitor *visitor, struct reply *reply) {
    if (found->file < 0 || end[-1] == '/' || !S_ISDIR(found->status.st_mode))
        return true;
    memcpy(end, "/", 2);
    bool admitted = rules_admit_to_folder(capsules->folder, path, visitor, reply);
    *end = '\0';
    return admitted;
}

/* Metadata can be about a folder that is no longer there, by its name without the slash. */
static const struct meta_rule *find_rule(const struct capsules *capsules, const char *capsule, const char *path,
                                         const struct request *request, bool is_there, const struct way *way,
                                         struct meta *meta) {
    char name[REQUEST_URI_MAX + 1];
    const struct meta_rule *rule = rules_find(capsules->folder, capsule, path + strlen(capsule), way, meta);
    size_t length = strlen(request->path);
    if (rule || is_there || length < 2 || request->path[length - 1] != '/')
        return rule;
    meta_dispose(meta);
    memcpy(name, request->path, length - 1);
    name[length - 1] = '\0';
    return rules_find(capsules->folder, capsule, name, way, meta);
}

/* Answers at the end of a way that the visitor may go. */
static int answer_at(const struct capsules *capsules, const char *capsule, const struct request *request,
                     const struct way *way, struct visitor *visitor, struct reply *reply) {
    char path[FILE_PATH_MAX];
    char *end = stpcpy(stpcpy(path, capsule), request->path);
    struct meta meta = {0};
    struct found found = open_page(capsules, path, end, way);
    int result = found.file < 0 ? found.file : 0;

    if (beneath_is_busy(result))
        return result; /* it might be a folder with an access list of its own */
    if (!admit_to_page(capsules, path, end, &found, visitor, reply)) {
        close(found.file);
        return 0;
    }
    const struct meta_rule *rule = find_rule(capsules, capsule, path, request, found.file >= 0, way, &meta);
    if (rule && rule->kind == META_HEADER) {
        if (found.file >= 0)
            close(found.file);
        reply_set(reply, rule->status, rule->value);
        result = 0;
    } else if (found.file >= 0) {
        result = answer_file(capsules, path, &found, rule, request, reply);
    } else if (result == -ENOENT && end[-1] == '/') {
        *end = '\0';
        result = answer_listing(capsules, path, end, rule, request, reply);
    }
    meta_dispose(&meta);
    return result;
}

int page_answer(const struct capsules *capsules, const char *capsule, const struct request *request,
                struct visitor *visitor, struct reply *reply) {
    struct way way;
    int result = 0;
    if (rules_admit(capsules->folder, capsule, request->path, visitor, reply, &way))
        result = answer_at(capsules, capsule, request, &way, visitor, reply);
    rules_leave(&way);
    return result;
}
