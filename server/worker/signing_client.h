/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A worker's end of its channel to the key process: questions go out in batches, answers come back in any order, and
 * whoever asked is found again. Never blocks, and never fails for lack of room: questions wait with those who ask.
 *
 * One client must not keep the key process from the others. So few questions lie in the channel, where nobody can take
 * them back; the rest waits here, in a line for each client (an address prefix). Networks, in which many such prefixes
 * lie, take turns, and so do the lines of one network: many addresses in one network get no more than a single one. Of
 * one network only SIGNING_CLIENT_NETWORK_UNDER_WAY questions are under way at once, or a single one where a signature
 * takes long (signing_is_slow). A question whose asker has gone is dropped, unless it is under way: then it counts for
 * its network until it is answered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/signing.h"

#define SIGNING_CLIENT_UNDER_WAY 16        /* questions in the channel */
#define SIGNING_CLIENT_NETWORK_UNDER_WAY 8 /* of one network */
#define SIGNING_CLIENT_LINES 1024    /* clients that have a line of their own; more than that share one with another */
#define SIGNING_CLIENT_NETWORKS 1024 /* networks that are told apart; more than that share their turns with another */

/* Where a client comes from: its own prefix, and the widest one that is counted (client_address_groups), as hashes. */
struct signing_client_origin {
    uint64_t client, network;
};

/* Part of whoever asks; all zeroes before it is first used, and to be left alone from signing_client_ask to the answer.
 */
struct signing_client_request {
    struct signing_question question; /* to be made with signing_ask; its ticket is the signing client's */
    void *owner;                      /* who is told of the answer (signing_client_receive) */
    struct signing_client_request *earlier, *later;
    uint32_t line, place;
    enum { SIGNING_CLIENT_IDLE, SIGNING_CLIENT_WAITS, SIGNING_CLIENT_IS_UNDER_WAY } state;
};

/* The questions of one client. */
struct signing_client_line {
    struct signing_client_origin origin;
    struct signing_client_request *first, *last; /* those that wait, the oldest first */
    uint32_t under_way;
    uint32_t next_alike; /* of the lines whose prefixes have the same remainder, or of those that are free */
    uint32_t next_turn;  /* of the lines that wait for their turn */
    bool has_turn;
};

/* What a network has had: its turn comes when no other one that waits has had less. */
struct signing_client_network {
    uint64_t turns;
    uint32_t under_way;
};

struct signing_client {
    int channel;
    struct signing_client_line lines[SIGNING_CLIENT_LINES];
    struct signing_client_network networks[SIGNING_CLIENT_NETWORKS];
    uint64_t turn;                        /* of the network that had the last one; who comes anew begins there */
    uint32_t alike[SIGNING_CLIENT_LINES]; /* the first line of a prefix with this remainder */
    uint32_t free_line;                   /* the first one; all of them end with SIGNING_CLIENT_LINES */
    uint32_t first_turn, last_turn;       /* a queue of lines */
    struct {
        struct signing_client_request *request; /* NULL: whoever asked has gone */
        uint32_t line;
        uint32_t generation; /* so that a late answer meets nobody but its own asker */
        bool taken;
    } places[SIGNING_CLIENT_UNDER_WAY];
    uint32_t
        unsent[SIGNING_CLIENT_UNDER_WAY]; /* places whose question the channel had no room for yet, the oldest first */
    uint32_t unsent_count;
};

/* Sets up a signing client at this socket, which stays the caller's. */
void signing_client_open(struct signing_client *signing_client, int channel);

/*
 * Has a question wait for its turn. `request`, with its question made, stays the caller's and must stay where it is
 * until it is answered or forgotten.
 */
void signing_client_ask(struct signing_client *signing_client, struct signing_client_request *request,
                        const struct signing_client_origin *origin);

/* The asker is gone: nobody is told of the answer. Does nothing for a request that waits for none. */
void signing_client_forget(struct signing_client *signing_client, struct signing_client_request *request);

/* Sends what may be sent now, as far as there is room. */
void signing_client_send(struct signing_client *signing_client);

/*
 * Takes the answers that are there and calls `each` for every owner that still waits. signature: valid during the call
 * only; size 0 when the key process refused. The owner may ask anew in that call.
 * Returns false when the other end of the channel is closed: no answer will ever come by it.
 */
bool signing_client_receive(struct signing_client *signing_client,
                            void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                            void *context);
