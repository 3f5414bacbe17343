/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A worker's event loop: what epoll watches for each connection, and when its deadline is over. */

#include "connection.h"
#include "event_source.h"
#include "signing_client.h"
#include "worker.h"

#define LOOP_LOOK 2000     /* milliseconds between two checks of a response */
#define LOOP_SLOW 16384    /* bytes between two checks; a response that moves less is ended early */
#define LOOP_FULL_BEAT 100 /* milliseconds between two attempts to accept when all places are taken */

/* Connections with one deadline, in the order in which their time runs out. */
struct queue {
    struct connection *first, *last;
};

struct worker {
    const struct worker_setup *setup;
    struct worker_context *context;
    struct signing_client *signing_client;
    int events;
    int stops; /* signals to stop, as events: epoll_pwait(2) delivers no signal as long as there are events */
    bool told_to_stop, told_to_hurry;
    size_t open, open_max;
    bool listening;  /* epoll watches the listeners */
    bool has_let_go; /* the listeners are closed */
    uint64_t paused_until, tried_at;
    struct connection *giver; /* the connection to end for the next one, if known */
    struct queue queues[DEADLINE_COUNT];
    struct event_source stops_source, key_process_source, listener_sources[LISTENERS_MAX];
    /* Events of this round that are handled last. */
    const struct listener *ready[LISTENERS_MAX];
    size_t ready_count;
    bool has_answers; /* of the key process */
};

/*
 * Returns how many connections the server has, all workers together. Far below the limit, those of other workers are as
 * of the beginning of this millisecond: reading the table of each takes as long as a system call.
 */
uint64_t loop_open(const struct worker *worker);

/* Has the server, with all workers together, reached its limit of connections? */
bool loop_is_full(const struct worker *worker);

/* Puts a connection, which is in no queue, at the end of the queue of its deadline; its time there begins. */
void loop_enter_queue(struct worker *worker, struct connection *connection);

/* Removes a connection from its queue. */
void loop_leave_queue(struct worker *worker, struct connection *connection);

/*
 * Lets a connection wait for a place (connection_wait): it is in the queue of its deadline, and epoll reports nothing
 * but its end, so that a client that has left takes up no room. epoll does not know it yet, and it is in no queue.
 */
void loop_wait(struct worker *worker, struct connection *connection);

/* Ends the wait: the connection is in no queue, and unknown to epoll. */
void loop_end_wait(struct worker *worker, struct connection *connection);

/* Ends a connection. queued: it is in a queue. */
void loop_finish(struct worker *worker, struct connection *connection, bool queued);

/*
 * Does what a connection asks for, and puts it into the queue of its deadline. fresh: epoll does not know it yet, and
 * it is in no queue.
 */
void loop_apply(struct worker *worker, struct connection *connection, enum next next, bool fresh);

/* Handles an answer of the key process for a connection (signing_client_receive). context: the worker. */
void loop_take_signature(void *owner, const uint8_t *signature, size_t size, void *context);

/* Ends connections after their deadline; a response that moves may continue. */
void loop_end_the_late(struct worker *worker);

/* Returns how many milliseconds the worker may sleep. */
int loop_time_to_wait(const struct worker *worker);
