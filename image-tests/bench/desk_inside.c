/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A desk (desk.h) that signs inside the worker, with a private key in its memory: what the server would be without its
 * key process. Only for measuring what that costs; never part of the program. The key is read from the PEM file that
 * VITRINE_BENCH_IDENTITY names.
 */

#include "desk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"

static struct identity identity;
static void *owners[DESK_WAITING_MAX];

void desk_open(struct desk *desk, int channel) {
    static char pem[65536];
    const char *path = getenv("VITRINE_BENCH_IDENTITY");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1; /* the sandbox has no call for stdio */
    ssize_t size = file >= 0 ? read(file, pem, sizeof pem - 1) : 0;
    pem[size < 0 ? 0 : size] = '\0';
    const char *problem = identity_load(&identity, "localhost", pem, NULL);
    if (problem) {
        log_line(LOG_LEVEL_ERROR, "%s: %s", path ? path : "VITRINE_BENCH_IDENTITY is not set", problem);
        exit(1);
    }
    close(file);
    memset(desk, 0, sizeof *desk);
    desk->channel = channel;
    /* In place of the channel, something that wakes the event loop when there are answers. */
    dup2(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), channel);
}

uint64_t desk_ask(struct desk *desk, void *owner, enum signing_scheme scheme,
                  const uint8_t key[static SIGNING_KEY_NAME], const void *content, size_t size) {
    size_t at = desk->unsent_count;
    if (at == DESK_WAITING_MAX || !signing_ask(&desk->unsent[at], scheme, at + 1, key, content, size))
        return 0;
    owners[at] = owner;
    desk->unsent_count++;
    return at + 1;
}

void desk_forget(struct desk *desk, uint64_t ticket) {
    (void)desk;
    owners[ticket - 1] = NULL;
}

void desk_send(struct desk *desk) {
    uint64_t one = 1;
    if (desk->unsent_count > 0 && write(desk->channel, &one, sizeof one) < 0)
        return;
}

bool desk_receive(struct desk *desk, void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                  void *context) {
    uint64_t count;
    size_t questions = desk->unsent_count;
    static struct signing_question asked[DESK_WAITING_MAX];
    static void *asking[DESK_WAITING_MAX];
    if (read(desk->channel, &count, sizeof count) < 0)
        return true;
    memcpy(asked, desk->unsent, questions * sizeof asked[0]);
    memcpy(asking, owners, questions * sizeof asking[0]);
    desk->unsent_count = 0;
    for (size_t i = 0; i < questions; i++) {
        uint8_t signature[SIGNING_SIGNATURE_MAX];
        size_t size = 0;
        bool good = identity_sign(&identity, asked[i].scheme, asked[i].content, asked[i].content_size, signature,
                                  &size) == SIGNING_DONE;
        if (asking[i])
            each(asking[i], signature, good ? size : 0, context);
    }
    return true;
}
