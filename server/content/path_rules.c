/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "path_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"
#include "common/beneath.h"
#include "common/directory.h"
#include "common/file.h"
#include "rules_file.h"

/* ---- who may enter ---- */

/* Refuses, for a reason that the owner must be told. */
static void refuse_unread(struct rules_file *file, long error, struct reply *reply) {
    if (beneath_is_busy(error)) {
        reply_set(reply, STATUS_SERVER_UNAVAILABLE, "The server is busy");
        return;
    }
    rules_file_report(
        1, error == -EFBIG ? "too long for an access list, so nobody can enter" : "cannot be read, so nobody can enter",
        file);
    reply_set(reply, STATUS_TEMPORARY_FAILURE, "The access list of this folder cannot be read");
}

static const char *describe_state(enum certificate_state state) {
    switch (state) {
    case CERTIFICATE_EARLY:
        return "The certificate is not valid yet";
    case CERTIFICATE_EXPIRED:
        return "The certificate has expired";
    default:
        return "The certificate is not valid";
    }
}

static bool admit(const struct access_list *list, struct client *client, struct reply *reply) {
    if (!client->has_certificate) {
        reply_set(reply, STATUS_CERTIFICATE_REQUIRED, "This folder needs a client certificate");
        return false;
    }
    if (client->certificate_state != CERTIFICATE_VALID) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_VALID, describe_state(client->certificate_state));
        return false;
    }
    const char *name = access_find(list, client->fingerprint);
    if (!name) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_AUTHORISED,
                  "This certificate is not on the access list of this folder");
        return false;
    }
    snprintf(client->name, sizeof client->name, "%s", name);
    return true;
}

/*
 * May the client enter this folder, whose path is the first `length` bytes of the lookup's path? If not, the reply says
 * why. Access lists are not kept: each visit is decided by the list as it is now.
 */
static bool admit_to_folder(struct lookup *lookup, int folder, size_t length) {
    char *text = NULL;
    struct access_list list;
    struct rules_file file;
    int content = lookup->question->content;
    long found = rules_file_find(&file, folder, lookup->path.text, length, DIRECTORY_ACCESS);
    if (found == 0)
        return true;
    lookup->is_protected = true;
    if (found > 0)
        found = rules_file_read(&file, content, folder, ACCESS_FILE_MAX, NULL, &text);
    if (found >= 0)
        found = access_parse(&list, text, (size_t)found, rules_file_report, &file);
    free(text);
    if (found < 0) {
        refuse_unread(&file, found, lookup->question->reply);
        return false;
    }
    bool admitted = admit(&list, lookup->question->client, lookup->question->reply);
    access_dispose(&list);
    return admitted;
}

static int enter_folder(struct beneath_path *path) {
    struct lookup *lookup = path->context;
    struct stat status;
    bool is_first = path->reached == strcspn(path->text, "/") + 1;
    /* Before looking into it; see trail_add. */
    trail_add(&lookup->trail, path->text, path->reached - 1, fstat(path->folder, &status) == 0 ? &status : NULL);
    if (!admit_to_folder(lookup, path->folder, path->reached)) {
        lookup->refused = true;
        return -EACCES;
    }
    if (is_first) /* also if the walk begins again after a link */
        metadata_begin(&lookup->metadata);
    metadata_enter(&lookup->metadata, path, lookup->question->content, &lookup->trail);
    return 0;
}

void path_rules_begin(struct lookup *lookup, const struct question *question) {
    lookup->question = question;
    lookup->refused = lookup->is_protected = false;
    lookup->path.folder = -1;
    lookup->path.is_confined = true;
    lookup->path.enter = enter_folder;
    lookup->path.context = lookup;
    lookup->metadata.names[0] = lookup->metadata.names[1] = NULL;
    lookup->metadata.wants_folder = false;
    metadata_begin(&lookup->metadata);
    trail_begin(&lookup->trail);
}

static bool set_text(struct lookup *lookup, const char *path) {
    size_t length = strlen(path);
    if (length >= sizeof lookup->path.text)
        return false;
    memcpy(lookup->path.text, path, length + 1);
    return true;
}

int path_rules_enter(struct lookup *lookup, const char *path) {
    lookup->metadata.is_whole = false;
    return set_text(lookup, path) ? beneath_enter(&lookup->path, lookup->question->content) : -ENAMETOOLONG;
}

int path_rules_open(struct lookup *lookup, const char *path, int flags) {
    lookup->metadata.is_whole = true;
    return set_text(lookup, path) ? beneath_follow(&lookup->path, lookup->question->content, flags) : -ENAMETOOLONG;
}

bool path_rules_admit_to_folder(struct lookup *lookup, int folder) {
    size_t length = strlen(lookup->path.text);
    if (length + 2 > sizeof lookup->path.text)
        return true; /* too long for any file in it */
    strcpy(lookup->path.text + length, "/");
    lookup->refused = !admit_to_folder(lookup, folder, length + 1);
    lookup->path.text[length] = '\0';
    return !lookup->refused;
}

/* Returns the name after this one, or the NUL at the end. */
static const char *next_name(const char *at) {
    at += strcspn(at, "/");
    return at + strspn(at, "/");
}

static bool has_private_name(const char *at, const char *end) {
    while (at < end && (at[0] != '.' || at[1] == '.'))
        at = next_name(at);
    return at < end;
}

bool path_rules_is_private(const struct lookup *lookup) {
    static const char well_known[] = ".well-known";
    const char *text = lookup->path.text, *root = text + lookup->path.root, *at = root;
    size_t length = strcspn(at, "/");
    if (lookup->path.root == 0)
        return false;
    if (length == sizeof well_known - 1 && memcmp(at, well_known, length) == 0)
        at = next_name(at);
    /*
     * If a capsule is a link, it may lead through a folder of versions beside it, but not into one of another capsule.
     */
    return has_private_name(at, text + strlen(text)) || has_private_name(next_name(text), root);
}

void path_rules_leave(struct lookup *lookup) {
    beneath_leave(&lookup->path);
}

const struct metafile_rule *path_rules_find(const struct lookup *lookup, enum metadata_place place) {
    return lookup->path.root > 0 ? metadata_find(&lookup->metadata, place) : NULL;
}

long path_rules_read(int content, const char *path, size_t most, char **text) {
    *text = NULL;
    int file = beneath_open_confined(content, path, BENEATH_READ);
    if (file < 0)
        return file;
    long length = file_read(file, most, text);
    close(file);
    return length;
}
