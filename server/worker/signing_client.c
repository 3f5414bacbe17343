/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "signing_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWERS_AT_ONCE SIGNING_CLIENT_UNDER_WAY
#define NONE SIGNING_CLIENT_LINES

void signing_client_open(struct signing_client *signing_client, int channel) {
    memset(signing_client, 0, sizeof *signing_client);
    signing_client->channel = channel;
    signing_client->first_turn = signing_client->last_turn = NONE;
    for (uint32_t i = 0; i < SIGNING_CLIENT_LINES; i++) {
        signing_client->lines[i].next_alike = i + 1;
        signing_client->alike[i] = NONE;
    }
}

/* ---- lines: the queues of clients ---- */

static struct signing_client_network *network_of(struct signing_client *signing_client,
                                                 const struct signing_client_line *line) {
    return &signing_client->networks[line->origin.network % SIGNING_CLIENT_NETWORKS];
}

/* Returns the line of a client, and makes it if there is none. */
static uint32_t line_of(struct signing_client *signing_client, const struct signing_client_origin *origin) {
    uint32_t *first = &signing_client->alike[origin->client % SIGNING_CLIENT_LINES], number = *first;
    while (number != NONE && signing_client->lines[number].origin.client != origin->client)
        number = signing_client->lines[number].next_alike;
    if (number != NONE)
        return number;
    number = signing_client->free_line;
    if (number == NONE) /* all are taken: this client joins another */
        return (uint32_t)(origin->client % SIGNING_CLIENT_LINES);
    struct signing_client_line *line = &signing_client->lines[number];
    signing_client->free_line = line->next_alike;
    *line = (struct signing_client_line){.origin = *origin, .next_alike = *first};
    *first = number;
    return number;
}

/* Frees a line in which nobody waits and of which nothing is under way. */
static void close_line(struct signing_client *signing_client, uint32_t number) {
    struct signing_client_line *line = &signing_client->lines[number];
    uint32_t *link = &signing_client->alike[line->origin.client % SIGNING_CLIENT_LINES];
    if (line->first || line->under_way > 0 || line->has_turn)
        return;
    while (*link != number)
        link = &signing_client->lines[*link].next_alike;
    *link = line->next_alike;
    line->next_alike = signing_client->free_line;
    signing_client->free_line = number;
}

/* May its network have one more question under way? */
static bool may_send(struct signing_client *signing_client, const struct signing_client_line *line) {
    return network_of(signing_client, line)->under_way <
           (signing_is_slow(line->first->question.scheme) ? 1 : SIGNING_CLIENT_NETWORK_UNDER_WAY);
}

/* Appends a line to those that wait for their turn, if somebody waits in it. */
static void line_up(struct signing_client *signing_client, uint32_t number) {
    struct signing_client_line *line = &signing_client->lines[number];
    if (line->has_turn || !line->first)
        return;
    line->has_turn = true;
    line->next_turn = NONE;
    if (signing_client->first_turn == NONE)
        signing_client->first_turn = number;
    else
        signing_client->lines[signing_client->last_turn].next_turn = number;
    signing_client->last_turn = number;
}

/* Removes a line from those that wait for their turn. before: the line before it, or NONE. */
static void leave_turn(struct signing_client *signing_client, uint32_t before, uint32_t number) {
    struct signing_client_line *line = &signing_client->lines[number];
    *(before == NONE ? &signing_client->first_turn : &signing_client->lines[before].next_turn) = line->next_turn;
    if (signing_client->last_turn == number)
        signing_client->last_turn = before;
    line->has_turn = false;
}

/*
 * Finds the line whose turn it is: the first one of the network that has had the fewest turns. Closes lines in which
 * nobody waits any more. *before: the line before it. Returns NONE if none may send.
 */
static uint32_t choose_line(struct signing_client *signing_client, uint32_t *before) {
    uint32_t best = NONE, earlier = NONE, next;
    uint64_t fewest = UINT64_MAX;
    for (uint32_t number = signing_client->first_turn; number != NONE; number = next) {
        const struct signing_client_line *line = &signing_client->lines[number];
        uint64_t turns = network_of(signing_client, line)->turns;
        next = line->next_turn;
        if (!line->first) {
            leave_turn(signing_client, earlier, number);
            close_line(signing_client, number);
            continue;
        }
        turns = turns > signing_client->turn ? turns : signing_client->turn;
        if (turns < fewest && may_send(signing_client, line)) {
            fewest = turns;
            best = number;
            *before = earlier;
        }
        earlier = number;
    }
    return best;
}

/* Removes the oldest request from the line whose turn it is. NULL: no line may send. */
static struct signing_client_request *next_request(struct signing_client *signing_client) {
    uint32_t before = NONE, number = choose_line(signing_client, &before);
    if (number == NONE)
        return NULL;
    struct signing_client_line *line = &signing_client->lines[number];
    struct signing_client_network *network = network_of(signing_client, line);
    struct signing_client_request *request = line->first;
    signing_client->turn = network->turns > signing_client->turn ? network->turns : signing_client->turn;
    network->turns = signing_client->turn + 1;
    network->under_way++;
    line->under_way++;
    line->first = request->later;
    *(line->first ? &line->first->earlier : &line->last) = NULL;
    leave_turn(signing_client, before, number);
    line_up(signing_client, number);
    return request;
}

/* ---- slots ---- */

/* A request_id names a slot and how often it was used before; it is never 0. */
static uint64_t request_id_of(const struct signing_client *signing_client, uint32_t slot) {
    return (uint64_t)signing_client->slots[slot].epoch << 32 | slot | 1ull << 31;
}

static bool slot_of(const struct signing_client *signing_client, uint64_t request_id, uint32_t *slot) {
    *slot = (uint32_t)request_id & 0x7fffffff;
    return *slot < SIGNING_CLIENT_UNDER_WAY && signing_client->slots[*slot].taken &&
           request_id_of(signing_client, *slot) == request_id;
}

/* Returns SIGNING_CLIENT_UNDER_WAY if none is free. */
static uint32_t free_slot(const struct signing_client *signing_client) {
    uint32_t slot = 0;
    while (slot < SIGNING_CLIENT_UNDER_WAY && signing_client->slots[slot].taken)
        slot++;
    return slot;
}

static void give_back(struct signing_client *signing_client, uint32_t slot) {
    uint32_t line = signing_client->slots[slot].line;
    signing_client->slots[slot].taken = false;
    signing_client->slots[slot].request = NULL;
    signing_client->slots[slot].epoch++;
    signing_client->under_way--;
    signing_client->lines[line].under_way--;
    network_of(signing_client, &signing_client->lines[line])->under_way--;
    line_up(signing_client, line);
    close_line(signing_client, line);
}

/* Gives out slots to requests whose turn it is. */
static void take_slots(struct signing_client *signing_client) {
    uint32_t slot;
    struct signing_client_request *request;
    while ((slot = free_slot(signing_client)) < SIGNING_CLIENT_UNDER_WAY && (request = next_request(signing_client))) {
        signing_client->slots[slot].request = request;
        signing_client->slots[slot].line = request->line;
        signing_client->slots[slot].taken = true;
        signing_client->under_way++;
        signing_client->unsent[signing_client->unsent_count++] = slot;
        request->question.request_id = request_id_of(signing_client, slot);
        request->state = SIGNING_CLIENT_IS_UNDER_WAY;
        request->slot = slot;
    }
}

/* ---- asking ---- */

void signing_client_ask(struct signing_client *signing_client, struct signing_client_request *request,
                        const struct signing_client_origin *origin) {
    uint32_t number = line_of(signing_client, origin);
    struct signing_client_line *line = &signing_client->lines[number];
    request->line = number;
    request->state = SIGNING_CLIENT_WAITS;
    request->later = NULL;
    request->earlier = line->last;
    *(line->last ? &line->last->later : &line->first) = request;
    line->last = request;
    line_up(signing_client, number);
}

/* Takes a slot out of those whose question has not been sent. Returns whether it was there. */
static bool take_back(struct signing_client *signing_client, uint32_t slot) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < signing_client->unsent_count; i++) {
        if (signing_client->unsent[i] != slot)
            signing_client->unsent[kept++] = signing_client->unsent[i];
    }
    bool was_there = kept < signing_client->unsent_count;
    signing_client->unsent_count = kept;
    return was_there;
}

void signing_client_forget(struct signing_client *signing_client, struct signing_client_request *request) {
    struct signing_client_line *line = &signing_client->lines[request->line];
    if (request->state == SIGNING_CLIENT_WAITS) {
        *(request->earlier ? &request->earlier->later : &line->first) = request->later;
        *(request->later ? &request->later->earlier : &line->last) = request->earlier; /* closed at its turn */
    } else if (request->state == SIGNING_CLIENT_IS_UNDER_WAY) {
        signing_client->slots[request->slot].request = NULL;
        if (take_back(signing_client, request->slot))
            give_back(signing_client, request->slot);
    }
    request->state = SIGNING_CLIENT_IDLE;
}

void signing_client_send(struct signing_client *signing_client) {
    uint32_t sent = 0;
    take_slots(signing_client);
    for (; sent < signing_client->unsent_count; sent++) {
        const struct signing_question *question =
            &signing_client->slots[signing_client->unsent[sent]].request->question;
        if (send(signing_client->channel, question, sizeof *question, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break; /* no room now: tried again at the next turn of the event loop */
    }
    signing_client->unsent_count -= sent;
    memmove(signing_client->unsent, signing_client->unsent + sent,
            signing_client->unsent_count * sizeof *signing_client->unsent);
}

/* ---- answers ---- */

static void deliver(struct signing_client *signing_client, const struct signing_answer *answer,
                    void (*each)(void *, const uint8_t *, size_t, void *), void *context) {
    uint32_t slot;
    if (!slot_of(signing_client, answer->request_id, &slot))
        return;
    take_back(signing_client,
              slot); /* an answer to a question that was not sent yet counts, too, so that nobody waits forever */
    struct signing_client_request *request = signing_client->slots[slot].request;
    give_back(signing_client, slot);
    if (!request)
        return;
    request->state = SIGNING_CLIENT_IDLE;
    each(request->owner, answer->signature, answer->result == SIGNING_DONE ? answer->signature_size : 0, context);
}

bool signing_client_receive(struct signing_client *signing_client,
                            void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                            void *context) {
    struct signing_answer answer;
    /* Once at least: whatever is there is read. Where no answer is to come, another try would be a call for nothing. */
    for (int i = 0; i < ANSWERS_AT_ONCE && (i == 0 || signing_client->under_way > 0); i++) {
        ssize_t got = recv(signing_client->channel, &answer, sizeof answer, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (got == 0)
            return false;
        if (signing_answer_is_valid(&answer, (size_t)got))
            deliver(signing_client, &answer, each, context);
    }
    return true;
}
