/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A worker's end of its channel to the key process: sends questions in batches, receives answers in any order, and
 * finds who asked. Never blocks, and never fails for lack of room: the memory for a waiting question belongs to the
 * asker.
 *
 * One client must not keep the key process from the others. So only a few questions are in the channel, where they
 * cannot be taken back. The rest waits here, in a line for each client (an address prefix). Networks, which contain
 * many such prefixes, take turns, and so do the lines of one network: many addresses in one network get no more than a
 * single one. At most SIGNING_CLIENT_NETWORK_UNDER_WAY questions of one network are under way at once, or only one if
 * its signature takes long (signing_is_slow). A question whose asker has gone is dropped, unless it is under way: then
 * it counts for its network until it is answered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/signing.h"

#define SIGNING_CLIENT_UNDER_WAY 16        /* questions in the channel */
#define SIGNING_CLIENT_NETWORK_UNDER_WAY 8 /* of one network */
#define SIGNING_CLIENT_LINES 1024          /* clients with a line of their own; further clients share one */
#define SIGNING_CLIENT_NETWORKS 1024       /* networks with turns of their own; further networks share one */

/* Where a client comes from: hashes of its own prefix and of the widest one that is counted (client_address_groups). */
struct signing_client_origin {
    uint64_t client, network;
};

/* Part of the asker. All zero before its first use; do not touch it between signing_client_ask and the answer. */
struct signing_client_request {
    struct signing_question question; /* made with signing_ask; the signing client sets its request_id */
    void *owner;                      /* who gets the answer (signing_client_receive) */
    struct signing_client_request *earlier, *later;
    uint32_t line, slot;
    enum { SIGNING_CLIENT_IDLE, SIGNING_CLIENT_WAITS, SIGNING_CLIENT_IS_UNDER_WAY } state;
};

/* The questions of one client. */
struct signing_client_line {
    struct signing_client_origin origin;
    struct signing_client_request *first, *last; /* waiting ones, the oldest first */
    uint32_t under_way;
    uint32_t next_alike; /* the next line whose prefix has the same remainder, or the next free line */
    uint32_t next_turn;  /* the next line that waits for its turn */
    bool has_turn;
};

/* How much a network has had: its turn comes when no other waiting network has had less. */
struct signing_client_network {
    uint64_t turns;
    uint32_t under_way;
};

struct signing_client {
    int channel;
    struct signing_client_line lines[SIGNING_CLIENT_LINES];
    struct signing_client_network networks[SIGNING_CLIENT_NETWORKS];
    uint32_t under_way;                   /* questions in the channel, or about to be */
    uint64_t turn;                        /* of the network that had the last turn; new networks begin there */
    uint32_t alike[SIGNING_CLIENT_LINES]; /* the first line whose prefix has this remainder */
    uint32_t free_line;                   /* the first one; SIGNING_CLIENT_LINES ends all lists */
    uint32_t first_turn, last_turn;       /* a queue of lines */
    struct {
        struct signing_client_request *request; /* NULL: the asker has gone */
        uint32_t line;
        uint32_t epoch; /* so that a late answer reaches only its own asker */
        bool taken;
    } slots[SIGNING_CLIENT_UNDER_WAY];
    uint32_t
        unsent[SIGNING_CLIENT_UNDER_WAY]; /* slots whose question did not fit into the channel yet, the oldest first */
    uint32_t unsent_count;
};

/* Sets up a signing client for this socket; the caller keeps the socket. */
void signing_client_open(struct signing_client *signing_client, int channel);

/*
 * Queues a question. `request` contains the question; the caller owns it and must not move it until it is answered or
 * forgotten.
 */
void signing_client_ask(struct signing_client *signing_client, struct signing_client_request *request,
                        const struct signing_client_origin *origin);

/* The asker has gone: nobody gets the answer. Does nothing if the request does not wait for one. */
void signing_client_forget(struct signing_client *signing_client, struct signing_client_request *request);

/* Sends what may be sent now, as far as there is room. */
void signing_client_send(struct signing_client *signing_client);

/*
 * Receives the answers that have arrived and calls `each` for every owner that still waits. signature: valid only
 * during the call; size 0 if the key process refused. The owner may ask again in that call. Returns false if the other
 * end of the channel is closed: then no answer can come any more.
 */
bool signing_client_receive(struct signing_client *signing_client,
                            void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                            void *context);
