/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "key_listener.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/systemd.h"

#define BACKLOG 4

/*
 * Removes a socket that nobody listens on. Returns 0, -EADDRINUSE if somebody does, or -ENOTSOCK if something else is
 * in its place.
 */
static int remove_stale(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0)
        return 0;
    if (!S_ISSOCK(status.st_mode))
        return -ENOTSOCK;
    int connection = systemd_connect(path, SOCK_SEQPACKET);
    if (connection >= 0)
        close(connection);
    return connection == -ECONNREFUSED && unlink(path) == 0 ? 0 : -EADDRINUSE;
}

/* Returns a descriptor, or -errno. */
static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result = remove_stale(path);
    if (result < 0)
        return result;
    int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    memcpy(address.sun_path, path, strlen(path));
    mode_t before = umask(0177);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0 || listen(descriptor, BACKLOG) < 0)
        result = -errno;
    umask(before);
    if (result < 0)
        close(descriptor);
    return result < 0 ? result : descriptor;
}

int key_listener_open(const char *path, int *listener) {
    if (path[0] != '/' || strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        log_line(LOG_LEVEL_ERROR, "keys: --listen takes a path that begins with / and has at most %zu bytes",
                 sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
        return EX_USAGE;
    }
    *listener = listen_at(path);
    if (*listener >= 0)
        return EX_OK;
    if (*listener == -EADDRINUSE) {
        log_line(LOG_LEVEL_ERROR,
                 "keys: %s is in use; stop the key process that listens there, or name another path with --listen",
                 path);
        return EX_UNAVAILABLE;
    }
    if (*listener == -ENOTSOCK) {
        log_line(LOG_LEVEL_ERROR, "keys: %s exists and is not a socket; name another path with --listen", path);
        return EX_UNAVAILABLE;
    }
    log_line(LOG_LEVEL_ERROR, "keys: cannot listen at %s: %s; make its folder writable for this user", path,
             strerror(-*listener));
    return EX_CANTCREAT;
}
