/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A signing client (signing_client.h) that signs inside the worker, with a private key in its memory: the server
 * without its key process. Only for measuring the difference; never part of the program. VITRINE_BENCH_IDENTITY names
 * the PEM file with the key.
 */

#include "worker/signing_client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "keys/identity.h"

static struct identity identity;

void signing_client_open(struct signing_client *signing_client, int channel) {
    static char pem[65536];
    const char *path = getenv("VITRINE_BENCH_IDENTITY");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1; /* the sandbox does not allow the calls that stdio makes */
    ssize_t size = file >= 0 ? read(file, pem, sizeof pem - 1) : 0;
    pem[size < 0 ? 0 : size] = '\0';
    const char *problem = identity_load(&identity, "localhost", pem, NULL);
    if (problem) {
        log_line(LOG_LEVEL_ERROR, "%s: %s", path ? path : "VITRINE_BENCH_IDENTITY is not set", problem);
        exit(1);
    }
    close(file);
    memset(signing_client, 0, sizeof *signing_client);
    signing_client->channel = channel;
    /* Replaces the channel with an eventfd that wakes the event loop when there are answers. */
    dup2(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), channel);
}

/* All requests wait in one queue, the first one of the signing client. */
void signing_client_ask(struct signing_client *signing_client, struct signing_client_request *request,
                        const struct signing_client_origin *origin) {
    struct signing_client_line *line = &signing_client->lines[0];
    (void)origin;
    request->state = SIGNING_CLIENT_WAITS;
    request->later = NULL;
    *(line->first ? &line->last->later : &line->first) = request;
    line->last = request;
}

void signing_client_forget(struct signing_client *signing_client, struct signing_client_request *request) {
    struct signing_client_request **link = &signing_client->lines[0].first, *last = NULL;
    if (request->state != SIGNING_CLIENT_WAITS)
        return;
    for (; *link != request; link = &(*link)->later)
        last = *link;
    *link = request->later;
    if (!request->later)
        signing_client->lines[0].last = last;
}

void signing_client_send(struct signing_client *signing_client) {
    uint64_t one = 1;
    if (signing_client->lines[0].first && write(signing_client->channel, &one, sizeof one) < 0)
        return;
}

bool signing_client_receive(struct signing_client *signing_client,
                            void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                            void *context) {
    uint64_t count;
    struct signing_client_request *request;
    if (read(signing_client->channel, &count, sizeof count) < 0)
        return true;
    while ((request = signing_client->lines[0].first)) {
        const struct signing_question *question = &request->question;
        uint8_t message[SIGNING_MESSAGE_MAX], signature[SIGNING_SIGNATURE_MAX];
        size_t size = 0;
        bool good = identity_sign(&identity, question->scheme, message, signing_message(question, message), signature,
                                  &size) == SIGNING_DONE;
        signing_client->lines[0].first = request->later;
        request->state = SIGNING_CLIENT_IDLE;
        each(request->owner, signature, good ? size : 0, context);
    }
    return true;
}
