/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A worker's end of its channel to the key process: questions go out in batches, answers come back in any order, and
 * whoever asked is found again. Never blocks, and never fails for lack of room: questions wait with those who ask.
 *
 * One client must not keep the key process from the others. So few questions lie in the channel, where nobody can take
 * them back; the rest waits here, in a line for each client (an address prefix). Networks, in which many such prefixes lie,
 * take turns, and so do the lines of one network: many addresses in one network get no more than a single one. Of one
 * network only DESK_NETWORK_UNDER_WAY questions are under way at once, or a single one where a signature takes long
 * (signing_is_slow). A question whose asker has gone is dropped, unless it is under way: then it counts for its network
 * until it is answered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/signing.h"

#define DESK_UNDER_WAY 16        /* questions in the channel */
#define DESK_NETWORK_UNDER_WAY 8 /* of one network */
#define DESK_LINES 1024          /* clients that have a line of their own; more than that share one with another */
#define DESK_NETWORKS 1024       /* networks that are told apart; more than that share their turns with another */

/* Where a client comes from: its own prefix, and the widest one that is counted (address_groups), as hashes. */
struct desk_origin {
    uint64_t client, network;
};

/* Part of whoever asks; all zeroes before it is first used, and to be left alone from desk_ask to the answer. */
struct desk_request {
    struct signing_question question; /* to be made with signing_ask; its ticket is the desk's */
    void *owner;                      /* who is told of the answer (desk_receive) */
    struct desk_request *earlier, *later;
    uint32_t line, place;
    enum { DESK_IDLE, DESK_WAITS, DESK_IS_UNDER_WAY } state;
};

/* The questions of one client. */
struct desk_line {
    struct desk_origin origin;
    struct desk_request *first, *last; /* those that wait, the oldest first */
    uint32_t under_way;
    uint32_t next_alike; /* of the lines whose prefixes have the same remainder, or of those that are free */
    uint32_t next_turn;  /* of the lines that wait for their turn */
    bool has_turn;
};

/* What a network has had: its turn comes when no other one that waits has had less. */
struct desk_network {
    uint64_t turns;
    uint32_t under_way;
};

struct desk {
    int channel;
    struct desk_line lines[DESK_LINES];
    struct desk_network networks[DESK_NETWORKS];
    uint64_t turn;                  /* of the network that had the last one; who comes anew begins there */
    uint32_t alike[DESK_LINES];     /* the first line of a prefix with this remainder */
    uint32_t free_line;             /* the first one; all of them end with DESK_LINES */
    uint32_t first_turn, last_turn; /* a queue of lines */
    struct {
        struct desk_request *request; /* NULL: whoever asked has gone */
        uint32_t line;
        uint32_t generation; /* so that a late answer meets nobody but its own asker */
        bool taken;
    } places[DESK_UNDER_WAY];
    uint32_t unsent[DESK_UNDER_WAY]; /* places whose question the channel had no room for yet, the oldest first */
    uint32_t unsent_count;
};

/* Sets up a desk at this socket, which stays the caller's. */
void desk_open(struct desk *desk, int channel);

/*
 * Has a question wait for its turn. `request`, with its question made, stays the caller's and must stay where it is until
 * it is answered or forgotten.
 */
void desk_ask(struct desk *desk, struct desk_request *request, const struct desk_origin *origin);

/* The asker is gone: nobody is told of the answer. Does nothing for a request that waits for none. */
void desk_forget(struct desk *desk, struct desk_request *request);

/* Sends what may be sent now, as far as there is room. */
void desk_send(struct desk *desk);

/*
 * Takes the answers that are there and calls `each` for every owner that still waits. signature: valid during the call
 * only; size 0 when the key process refused. The owner may ask anew in that call.
 * Returns false when the other end of the channel is closed: no answer will ever come by it.
 */
bool desk_receive(struct desk *desk, void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                  void *context);
