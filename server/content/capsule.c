/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "capsule.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/directory.h"
#include "common/hostname.h"
#include "serve.h"

int capsules_open(struct capsules *capsules, const char *folder) {
    capsules->language = NULL;
    capsules->only = NULL;
    capsules->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (capsules->folder < 0)
        return -errno;
    /* O_PATH needs no permission, but a missing permission should be reported at the start. */
    if (faccessat(capsules->folder, ".", R_OK | X_OK, 0) < 0) {
        int error = -errno;
        capsules_close(capsules);
        return error;
    }
    return 0;
}

void capsules_close(struct capsules *capsules) {
    if (capsules->folder >= 0)
        close(capsules->folder);
    capsules->folder = -1;
}

static bool is_capsule_name(const char *name) {
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

/* Is there a folder of this name, or a link to one, directly in the content folder? */
static bool has_capsule(const struct capsules *capsules, const char *name) {
    if (!is_capsule_name(name))
        return false;
    int folder = beneath_open_confined(capsules->folder, name, O_PATH | O_DIRECTORY);
    if (folder < 0)
        return false;
    close(folder);
    return true;
}

/*
 * Returns the folder for an address: its own, or else `default`, or else, for this machine's own address, `localhost`.
 * NULL if there is none.
 */
static const char *capsule_of_address(const struct capsules *capsules, const char *address) {
    if (capsules->only)
        return capsules->only;
    if (has_capsule(capsules, address))
        return address;
    if (has_capsule(capsules, "default"))
        return "default";
    if (hostname_is_loopback(address) && has_capsule(capsules, "localhost"))
        return "localhost";
    return NULL;
}

/* Returns the folder of a name, in the spelling that exists: international names have two. NULL if there is none. */
static const char *capsule_of_name(const struct capsules *capsules, const char *name,
                                   char other[static HOSTNAME_MAX + 1]) {
    if (capsules->only)
        return capsules->only;
    if (has_capsule(capsules, name))
        return name;
    if ((hostname_to_unicode(other, name) || hostname_to_ascii(other, name)) && has_capsule(capsules, other))
        return other;
    return NULL;
}

bool capsules_serve(const struct capsules *capsules, const char *host, bool host_is_address) {
    char other[HOSTNAME_MAX + 1];
    return (host_is_address ? capsule_of_address(capsules, host) : capsule_of_name(capsules, host, other)) != NULL;
}

/*
 * May this path be looked up? Names that begin with a dot are private, except `.well-known` (RFC 8615) in the root. A
 * path with empty segments is a different path (RFC 3986, section 3.3) that no file has; a redirect to a path that
 * begins with two slashes would even lead to another host.
 */
static bool is_public(const char *path) {
    static const char well_known[] = "/.well-known";
    const size_t well_known_length = sizeof(well_known) - 1;
    const char *at = path;
    if (strncmp(path, well_known, well_known_length) == 0 &&
        (path[well_known_length] == '/' || path[well_known_length] == '\0'))
        at += well_known_length;
    for (; (at = strchr(at, '/')) != NULL; at++) {
        if (at[1] == '.' || at[1] == '/')
            return false;
    }
    return true;
}

/* Sets the response for an error of the kernel during the lookup. */
static void answer_error(struct reply *reply, int error) {
    if (beneath_is_busy(error))
        reply_set(reply, STATUS_SERVER_UNAVAILABLE, "The server is busy");
    else if (error == -EIO)
        reply_set(reply, STATUS_TEMPORARY_FAILURE, "The page cannot be read");
    else /* ENOENT, ENOTDIR, EACCES, ELOOP, EXDEV, ENAMETOOLONG, ENXIO ... */
        reply_set(reply, STATUS_NOT_FOUND, "Not found");
}

void capsules_answer(const struct capsules *capsules, const struct request *request, struct client *client,
                     struct reply *reply) {
    const struct question question = {capsules->folder, capsules->language, request, client, reply};
    client->name[0] = '\0';
    char other[HOSTNAME_MAX + 1];
    bool is_page = is_public(request->path);
    int error = -ENOENT;
    /* Usually the page exists. Only if it does not, check whether its capsule exists. */
    bool guess = !capsules->only && !request->host_is_address && is_capsule_name(request->host) && is_page;
    if (guess) {
        error = serve_path(&question, request->host);
        if (error == 0)
            return;
    }
    answer_error(reply, error);
    if (reply->status != STATUS_NOT_FOUND)
        return;

    const char *capsule = request->host_is_address ? capsule_of_address(capsules, request->host)
                                                   : capsule_of_name(capsules, request->host, other);
    if (capsule == NULL) {
        reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "This host is not served here");
    } else if (is_page && !(guess && capsule == request->host)) {
        error = serve_path(&question, capsule);
        if (error != 0)
            answer_error(reply, error);
    }
}

/* A folder needs no look at it, beside the reading of the content folder. */
static bool is_capsule(const char *name, unsigned char kind, const void *context) {
    return strlen(name) <= HOSTNAME_MAX && ((kind == DT_DIR && is_capsule_name(name)) || has_capsule(context, name));
}

int capsules_each_host(const struct capsules *capsules, void (*each)(const char *host, void *context), void *context) {
    char **names;
    long count = directory_read_some(capsules->folder, is_capsule, capsules, &names);
    if (count < 0)
        return (int)count;
    for (long i = 0; i < count; i++)
        each(names[i], context);
    directory_dispose(names, count);
    return (int)count;
}
