/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The response of a connection: what a request is answered with, and how it goes out. */

#include "connection.h"
#include "content/reply.h"

#define RESPONSE_ASKED_MAX 512 /* bytes */

/* A response on its way. */
struct response {
    struct reply reply;
    struct client client;
    uint64_t sent; /* bytes of the body that have become records */
    bool ended;    /* the last record and close_notify are made */
    bool broken;   /* the body cannot be sent whole: no close_notify follows (its absence tells the client) */
    char asked[RESPONSE_ASKED_MAX]; /* host and path for the log, already escaped */
};

/*
 * Answers a request, and sends as much of the response as response_continue does. request: as request_parse left it
 * with this verdict.
 */
enum next response_answer(struct connection *connection, struct worker_context *context, enum request_verdict verdict,
                          struct request *request);

/*
 * Sends until the kernel takes no more, others have their turn, or all is said: then the connection lingers, and the
 * response is logged and gone.
 */
enum next response_continue(struct connection *connection, struct worker_context *context);

/* Gives back a response that will not be sent to its end: it counts as broken off, and is logged. None is allowed. */
void response_abandon(struct connection *connection, struct worker_context *context);
