/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "desk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define AT_ONCE 16

void desk_open(struct desk *desk, int channel) {
    memset(desk, 0, sizeof *desk);
    desk->channel = channel;
    for (uint32_t i = 0; i < DESK_WAITING_MAX; i++)
        desk->waiting[i].next = i + 1;
}

/* A ticket names a place and how often it was used before. */
static uint64_t ticket_of(const struct desk *desk, uint32_t place) {
    return (uint64_t)desk->waiting[place].generation << 32 | place | 1ull << 31;
}

static bool place_of(const struct desk *desk, uint64_t ticket, uint32_t *place) {
    *place = (uint32_t)ticket & 0x7fffffff;
    return *place < DESK_WAITING_MAX && desk->waiting[*place].taken && ticket_of(desk, *place) == ticket;
}

static void give_back(struct desk *desk, uint32_t place) {
    desk->waiting[place].taken = false;
    desk->waiting[place].owner = NULL;
    desk->waiting[place].generation++;
    desk->waiting[place].next = desk->free;
    desk->free = place;
}

uint64_t desk_ask(struct desk *desk, void *owner, enum signing_scheme scheme,
                  const uint8_t key[static SIGNING_KEY_NAME], const void *content, size_t size) {
    uint32_t place = desk->free;
    if (place == DESK_WAITING_MAX || desk->unsent_count == DESK_WAITING_MAX)
        return 0;
    size_t at = (desk->unsent_from + desk->unsent_count) % DESK_WAITING_MAX;
    uint64_t ticket = ticket_of(desk, place);
    if (!signing_ask(&desk->unsent[at], scheme, ticket, key, content, size))
        return 0;
    desk->unsent_count++;
    desk->free = desk->waiting[place].next;
    desk->waiting[place].owner = owner;
    desk->waiting[place].taken = true;
    return ticket;
}

void desk_forget(struct desk *desk, uint64_t ticket) {
    uint32_t place;
    /* The place stays taken until its answer comes, so that questions under way stay counted. */
    if (place_of(desk, ticket, &place))
        desk->waiting[place].owner = NULL;
}

void desk_send(struct desk *desk) {
    while (desk->unsent_count > 0) {
        const struct signing_question *first = &desk->unsent[desk->unsent_from];
        if (send(desk->channel, first, sizeof *first, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return; /* no room now: tried again at the next turn of the event loop */
        desk->unsent_from = (desk->unsent_from + 1) % DESK_WAITING_MAX;
        desk->unsent_count--;
    }
}

static void deliver(struct desk *desk, const struct signing_answer *answer,
                    void (*each)(void *, const uint8_t *, size_t, void *), void *context) {
    uint32_t place;
    if (!place_of(desk, answer->ticket, &place))
        return;
    void *owner = desk->waiting[place].owner;
    give_back(desk, place);
    if (owner)
        each(owner, answer->signature, answer->result == SIGNING_DONE ? answer->signature_size : 0, context);
}

bool desk_receive(struct desk *desk, void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                  void *context) {
    struct signing_answer answer;
    for (int i = 0; i < AT_ONCE; i++) {
        ssize_t got = recv(desk->channel, &answer, sizeof answer, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (got == 0)
            return false;
        if (signing_answer_is_valid(&answer, (size_t)got))
            deliver(desk, &answer, each, context);
    }
    return true;
}
