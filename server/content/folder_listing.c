/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "folder_listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/text.h"
#include "file_version.h"
#include "listing.h"

#define PREAMBLE_MAX 65536 /* bytes */
#define LINK_COST 8        /* the cost of one link, in names */
#define LINE_EXTRA 48      /* maximum bytes of a line besides name and address: size, date, `=> ` */
#define KEPT 8             /* listings */

/* ---- links ---- */

/* Ends a walk at a folder with an access list, unless it contains the listed folder: then the client was admitted. */
static int refuse_protected(struct beneath_path *path) {
    const struct lookup *listed = path->context;
    struct stat status;
    bool is_above = path->reached <= listed->path.reached && memcmp(path->text, listed->path.text, path->reached) == 0;
    if (is_above || (fstatat(path->folder, DIRECTORY_ACCESS, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT))
        return 0;
    return -EACCES;
}

/* Opens a link in the listed folder. Returns a descriptor or -errno. */
static int open_link(const struct lookup *lookup, const char *name, int flags) {
    struct lookup target;
    path_rules_begin(&target, lookup->question);
    target.path.enter = refuse_protected;
    target.path.context = (void *)(uintptr_t)lookup;
    int length = snprintf(target.path.text, sizeof target.path.text, "%.*s%s", (int)lookup->path.reached,
                          lookup->path.text, name);
    int file = length >= (int)sizeof target.path.text ? -ENAMETOOLONG
                                                      : beneath_follow(&target.path, lookup->question->content, flags);
    if (file >= 0 && path_rules_is_private(&target)) {
        close(file);
        file = -ENOENT;
    }
    path_rules_leave(&target);
    return file;
}

/* ---- entries ---- */

struct entries {
    struct listing_entry list[FOLDER_LISTING_NAMES];
    size_t count, size; /* size: maximum bytes of the lines */
    bool is_cut;        /* there are others */
};

/* May everybody read it? Then the server may, too, and need not open it to find out. */
static bool is_open_to_all(const struct stat *status) {
    mode_t needed = S_ISDIR(status->st_mode) ? S_IROTH | S_IXOTH : S_IROTH;
    return (status->st_mode & needed) == needed;
}

static bool is_servable(const struct stat *status) {
    return S_ISREG(status->st_mode) || S_ISDIR(status->st_mode);
}

/* Finds what a client gets under this name; false: nothing. *cost: in names. */
static bool look_up(const struct lookup *lookup, int folder, const char *name, struct stat *status, unsigned *cost) {
    *cost = 1;
    if (fstatat(folder, name, status, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    bool is_link = S_ISLNK(status->st_mode);
    if (!is_link && (!is_servable(status) || is_open_to_all(status)))
        return is_servable(status);
    /* The kernel recognizes a link to nothing faster than a walk does. */
    if (is_link && fstatat(folder, name, status, 0) < 0)
        return false;
    *cost = LINK_COST;
    int file =
        is_link ? open_link(lookup, name, BENEATH_READ) : openat(folder, name, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
    bool known = file >= 0 && fstat(file, status) == 0;
    if (file >= 0)
        close(file);
    return known && is_servable(status);
}

/* Returns false if there is no room. */
static bool add_entry(struct entries *entries, const char *name, const struct stat *status) {
    char link[3 * NAME_MAX + 1];
    int length = text_encode_path(link, sizeof link, name);
    size_t size = entries->size + (size_t)(length > 0 ? length : 0) + strlen(name) + LINE_EXTRA;
    char *copy = size > FOLDER_LISTING_MAX ? NULL : strdup(name);
    if (!copy)
        return false;
    entries->list[entries->count++] = (struct listing_entry){
        .name = copy,
        .is_folder = S_ISDIR(status->st_mode),
        .size = (uint64_t)status->st_size,
        .modified = status->st_mtime,
    };
    entries->size = size;
    return true;
}

/* Reads the entries of a folder. Closes `folder`. Returns 0 or -errno. */
static int read_entries(const struct lookup *lookup, int folder, struct entries *entries) {
    unsigned looked_at = 0;
    DIR *names = fdopendir(folder);
    if (!names) {
        close(folder);
        return -ENOMEM;
    }
    for (const struct dirent *name; !entries->is_cut && (name = readdir(names));) {
        struct stat status;
        unsigned cost;
        if (strcmp(name->d_name, ".") == 0 || strcmp(name->d_name, "..") == 0 ||
            strcmp(name->d_name, DIRECTORY_LISTING) == 0)
            continue;
        if (looked_at >= FOLDER_LISTING_NAMES) {
            entries->is_cut = true;
        } else if (name->d_name[0] == '.') {
            looked_at++;
        } else {
            if (look_up(lookup, folder, name->d_name, &status, &cost))
                entries->is_cut = !add_entry(entries, name->d_name, &status);
            looked_at += cost;
        }
    }
    closedir(names);
    return 0;
}

static void dispose_entries(struct entries *entries) {
    for (size_t i = 0; i < entries->count; i++)
        free((void *)(uintptr_t)entries->list[i].name);
    free(entries);
}

/* ---- the preamble ---- */

/*
 * Reads `.directory-listing-ok`. Returns its length and *text (malloc; the caller frees it), or -errno; *status is then
 * that of the file, or of the link to it.
 */
static long read_preamble(const struct lookup *lookup, char **text, struct stat *status) {
    long result = -EINVAL;
    *text = NULL;
    int file = openat(lookup->path.folder, DIRECTORY_LISTING, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        file = errno == ELOOP ? open_link(lookup, DIRECTORY_LISTING, BENEATH_READ) : -errno;
    if (file < 0)
        return file;
    if (fstat(file, status) == 0 && S_ISREG(status->st_mode)) {
        result = -EIO;
        *text = status->st_size <= PREAMBLE_MAX ? malloc((size_t)status->st_size + 1) : NULL;
        while (*text && (result = read(file, *text, (size_t)status->st_size)) < 0 && errno == EINTR)
            continue;
        if (result < 0)
            result = -EIO;
    }
    close(file);
    return result;
}

/* ---- listings that are kept ---- */

static struct kept_listing {
    struct reply_text *text; /* NULL: free */
    char *path;              /* as requested: the heading may show it */
    struct file_version folder, preamble;
    time_t made;
} kept[KEPT];
static size_t kept_next;
static size_t texts_total; /* bytes of all listings that somebody holds */

static void drop(struct kept_listing *old) {
    reply_text_release(old->text);
    free(old->path);
    *old = (struct kept_listing){0};
}

static struct reply_text *find_kept(const struct kept_listing *wanted) {
    for (size_t i = 0; i < KEPT; i++) {
        struct kept_listing *old = &kept[i];
        if (!old->text)
            continue;
        /* If the clock was set back, it counts as old, too. */
        if (wanted->made < old->made || wanted->made - old->made >= FOLDER_LISTING_SECONDS)
            drop(old);
        else if (file_version_same(&old->folder, &wanted->folder) &&
                 file_version_same(&old->preamble, &wanted->preamble) && strcmp(old->path, wanted->path) == 0)
            return old->text;
    }
    return NULL;
}

/* A folder that changed a moment ago could change again with the same timestamp: such a listing is not cached. */
static void keep(const struct kept_listing *made, struct reply_text *text) {
    struct kept_listing *place = &kept[kept_next++ % KEPT];
    char *path = strdup(made->path);
    if (!path || !file_version_is_settled(&made->folder, made->made) ||
        !file_version_is_settled(&made->preamble, made->made)) {
        free(path);
        return;
    }
    drop(place);
    *place = *made;
    place->path = path;
    place->text = reply_text_share(text);
}

/* Is there room for one more listing? Drops those that nobody is reading. */
static bool make_room(void) {
    for (size_t i = 0; i < KEPT && texts_total + FOLDER_LISTING_MAX > FOLDER_LISTINGS_MAX; i++)
        drop(&kept[i]);
    return texts_total + FOLDER_LISTING_MAX <= FOLDER_LISTINGS_MAX;
}

/* ---- the listing ---- */

/* Closes `folder`. Returns the listing, or NULL with *error set. */
static struct reply_text *make(const struct lookup *lookup, int folder, const char *path, const char *preamble,
                               size_t length, int *error) {
    static const char note[] = "\nThis folder contains more files than are listed here.\n";
    struct entries *entries = make_room() ? calloc(1, sizeof *entries) : NULL;
    struct reply_text *text = NULL;
    char *page = NULL;
    if (!entries) {
        close(folder);
        *error = -EAGAIN;
        return NULL;
    }
    entries->size = length + strlen(path);
    *error = read_entries(lookup, folder, entries);
    long size = *error < 0 ? *error : listing_write(&page, path, preamble, length, entries->list, entries->count);
    size_t note_size = entries->is_cut ? sizeof note - 1 : 0;
    if (size >= 0)
        text = reply_text_make((size_t)size + note_size, &texts_total);
    if (text) {
        memcpy(text->bytes, page, (size_t)size);
        memcpy(text->bytes + size, note, note_size);
    }
    free(page);
    dispose_entries(entries);
    if (!text && *error == 0)
        *error = size < 0 ? (int)size : -ENOMEM;
    return text;
}

size_t folder_listing_total(void) {
    return texts_total;
}

int folder_listing(const struct lookup *lookup, const char *path, struct reply *reply) {
    struct kept_listing wanted = {.path = (char *)(uintptr_t)path, .made = time(NULL)};
    struct stat status, preamble_status;
    char *preamble;
    int error = 0;
    long length = read_preamble(lookup, &preamble, &preamble_status);
    if (length < 0) {
        free(preamble);
        return (int)length;
    }
    int folder = openat(lookup->path.folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &status) < 0) {
        error = -errno;
        if (folder >= 0)
            close(folder);
        free(preamble);
        return error;
    }
    wanted.folder = file_version_of(&status);
    wanted.preamble = file_version_of(&preamble_status);
    struct reply_text *text = reply_text_share(find_kept(&wanted));
    if (text) {
        close(folder);
    } else {
        text = make(lookup, folder, path, length > 0 ? preamble : NULL, (size_t)length, &error);
        if (text)
            keep(&wanted, text);
    }
    free(preamble);
    if (!text)
        return error;
    reply->text = text;
    return 0;
}
