/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The response of a connection: chooses it and sends it. */

#include "connection.h"
#include "content/reply.h"

#define RESPONSE_ASKED_MAX 512 /* bytes */

/* A response that is being sent. */
struct response {
    struct reply reply;
    struct client client;
    uint64_t sent;   /* bytes of the body that have become records */
    bool more_comes; /* the client sent more than its request, or may be sending still */
    bool broken;     /* it cannot be sent whole: no close_notify follows (its absence tells the client) */
    char asked[RESPONSE_ASKED_MAX]; /* host and path for the log, already escaped */
};

/*
 * Allocates the response to a request that has arrived. more_comes: the client sent more than its request, or may still
 * be sending. Returns false if there is no memory.
 */
bool response_begin(struct connection *connection, bool more_comes);

/*
 * Decides on the response, and sends as much of it as response_continue does. request: as request_parse left it with
 * this verdict; host and path are emptied where they are not valid.
 */
enum next response_answer(struct connection *connection, struct worker_context *context, enum request_verdict verdict,
                          struct request *request);

/*
 * Sends until the kernel takes no more, it is the turn of others, or everything is sent: then the connection lingers,
 * and the response is logged and freed.
 */
enum next response_continue(struct connection *connection, struct worker_context *context);

/*
 * Frees a response that will not be sent completely: it counts as broken off, and is logged. Does nothing without a
 * response.
 */
void response_abandon(struct connection *connection, struct worker_context *context);
