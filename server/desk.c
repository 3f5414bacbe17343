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
        struct iovec parts[AT_ONCE];
        struct mmsghdr messages[AT_ONCE];
        unsigned count = 0;
        memset(messages, 0, sizeof messages);
        for (; count < AT_ONCE && count < desk->unsent_count; count++) {
            size_t at = (desk->unsent_from + count) % DESK_WAITING_MAX;
            parts[count] = (struct iovec){&desk->unsent[at], sizeof desk->unsent[at]};
            messages[count].msg_hdr = (struct msghdr){.msg_iov = &parts[count], .msg_iovlen = 1};
        }
        int sent = sendmmsg(desk->channel, messages, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return; /* no room now: tried again at the next turn of the event loop */
        desk->unsent_from = (desk->unsent_from + (size_t)sent) % DESK_WAITING_MAX;
        desk->unsent_count -= (size_t)sent;
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
    static struct signing_answer answers[AT_ONCE];
    struct iovec parts[AT_ONCE];
    struct mmsghdr messages[AT_ONCE];
    int count;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < AT_ONCE; i++) {
        parts[i] = (struct iovec){&answers[i], sizeof answers[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    count = recvmmsg(desk->channel, messages, AT_ONCE, MSG_DONTWAIT | MSG_TRUNC, NULL);
    for (int i = 0; i < count; i++) {
        if (messages[i].msg_len == 0)
            return false;
        if (signing_answer_is_valid(&answers[i], messages[i].msg_len))
            deliver(desk, &answers[i], each, context);
    }
    return count > 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}
