/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The key process's listening socket replaces a socket on which nobody listens, and nothing else. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "keys/key_listener.h"
#include "logged.h"

static char folder[] = "/tmp/vitrine-listener-XXXXXX";
static char path[64];

static void begin(void) {
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/keys", folder);
}

static void end(void) {
    unlink(path);
    cr_expect_eq(rmdir(folder), 0);
}

TestSuite(key_listener, .init = begin, .fini = end, .timeout = 30);

/* Binds a socket to the path, and listens if its type can. Returns its descriptor. */
static int occupy(int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int other = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    if (type != SOCK_DGRAM)
        cr_assert_eq(listen(other, 1), 0);
    return other;
}

static ino_t inode(void) {
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

static void expect_refusal(const char *what, const char *sentence) {
    int listener = -1;
    ino_t before = inode();
    logged_begin();
    int status = key_listener_open(path, &listener);
    const char *text = logged_end();
    cr_expect_eq(status, EX_UNAVAILABLE, "%s: %d", what, status);
    cr_expect_not_null(strstr(text, sentence), "%s: %s", what, text);
    cr_expect_eq(inode(), before, "%s was removed", what);
    if (listener >= 0)
        close(listener);
}

static void expect_listener(void) {
    struct stat status;
    int listener = -1, type = 0, listens = 0;
    socklen_t size = sizeof type;
    cr_assert_eq(key_listener_open(path, &listener), EX_OK);
    cr_expect(getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET);
    cr_expect(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens);
    cr_expect(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(lstat(path, &status), 0);
    cr_expect_eq(status.st_mode, S_IFSOCK | 0600, "%o: others could reach it", status.st_mode);
    close(listener);
}

Test(key_listener, it_takes_the_place_of_a_socket_that_nobody_listens_on) {
    static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
    expect_listener();
    expect_listener();
    for (size_t i = 0; i < 3; i++) {
        unlink(path);
        close(occupy(types[i]));
        expect_listener();
    }
}

/* Connecting to another program's socket gives a different error than connecting to an unused one. */
Test(key_listener, what_others_use_stays) {
    static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < 3; i++) {
        int other = occupy(types[i]);
        expect_refusal(types[i] == SOCK_SEQPACKET ? "a key process"
                       : types[i] == SOCK_STREAM  ? "a stream"
                                                  : "datagrams",
                       "is in use; stop the key process that listens there");
        close(other);
        unlink(path);
    }
}

Test(key_listener, what_is_no_socket_stays) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fclose(file);
    expect_refusal("a file", "exists and is not a socket; name another path");
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refusal("a FIFO", "exists and is not a socket; name another path");
    unlink(path);
    cr_assert_eq(symlink("elsewhere", path), 0);
    expect_refusal("a link", "exists and is not a socket; name another path");
}
