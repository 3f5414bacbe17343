/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A worker's end of its channel to the key process: questions go out in batches, answers come back in any order, and
 * whoever asked is found again. Never blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "signing.h"

#define DESK_WAITING_MAX 1024 /* questions under way; more handshakes at once than that fail */

struct desk {
    int channel;
    size_t unsent_from, unsent_count; /* a ring */
    uint32_t free;                    /* the first free place, or DESK_WAITING_MAX */
    struct {
        void *owner;         /* NULL: free, or nobody waits any more */
        uint32_t generation; /* so that a late answer meets nobody but its own asker */
        uint32_t next;       /* of the free places */
        bool taken;
    } waiting[DESK_WAITING_MAX];
    struct signing_question unsent[DESK_WAITING_MAX];
};

/* Sets up a desk at this socket, which stays the caller's. */
void desk_open(struct desk *desk, int channel);

/*
 * Puts a question into the batch. Returns its ticket, never 0; 0 when too many are under way or the content is none that
 * fits the scheme.
 */
uint64_t desk_ask(struct desk *desk, void *owner, enum signing_scheme scheme,
                  const uint8_t key[static SIGNING_KEY_NAME], const void *content, size_t size);

/* The asker is gone: its answer, when it comes, is thrown away. */
void desk_forget(struct desk *desk, uint64_t ticket);

/* Sends what is in the batch, as far as there is room. */
void desk_send(struct desk *desk);

/*
 * Takes the answers that are there and calls `each` for every owner that still waits. signature: valid during the call
 * only; size 0 when the key process refused.
 * Returns false when the other end of the channel is closed: no answer will ever come by it.
 */
bool desk_receive(struct desk *desk, void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                  void *context);
