/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "desk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWERS_AT_ONCE DESK_UNDER_WAY
#define NONE DESK_LINES

void desk_open(struct desk *desk, int channel) {
    memset(desk, 0, sizeof *desk);
    desk->channel = channel;
    desk->first_turn = desk->last_turn = NONE;
    for (uint32_t i = 0; i < DESK_LINES; i++) {
        desk->lines[i].next_alike = i + 1;
        desk->alike[i] = NONE;
    }
}

/* ---- lines ---- */

static struct desk_network *network_of(struct desk *desk, const struct desk_line *line) {
    return &desk->networks[line->origin.network % DESK_NETWORKS];
}

/* The line of a client, which is made when there is none. */
static uint32_t line_of(struct desk *desk, const struct desk_origin *origin) {
    uint32_t *first = &desk->alike[origin->client % DESK_LINES], number = *first;
    while (number != NONE && desk->lines[number].origin.client != origin->client)
        number = desk->lines[number].next_alike;
    if (number != NONE)
        return number;
    number = desk->free_line;
    if (number == NONE) /* all are taken: this client joins another */
        return (uint32_t)(origin->client % DESK_LINES);
    struct desk_line *line = &desk->lines[number];
    desk->free_line = line->next_alike;
    *line = (struct desk_line){.origin = *origin, .next_alike = *first};
    *first = number;
    return number;
}

/* A line in which nobody waits and of which nothing is under way is free for another client. */
static void close_line(struct desk *desk, uint32_t number) {
    struct desk_line *line = &desk->lines[number];
    uint32_t *link = &desk->alike[line->origin.client % DESK_LINES];
    if (line->first || line->under_way > 0 || line->has_turn)
        return;
    while (*link != number)
        link = &desk->lines[*link].next_alike;
    *link = line->next_alike;
    line->next_alike = desk->free_line;
    desk->free_line = number;
}

/* May its network have one more question under way? */
static bool may_send(struct desk *desk, const struct desk_line *line) {
    return network_of(desk, line)->under_way <
           (signing_is_slow(line->first->question.scheme) ? 1 : DESK_NETWORK_UNDER_WAY);
}

/* Puts a line at the end of those that wait for their turn, if somebody waits in it. */
static void line_up(struct desk *desk, uint32_t number) {
    struct desk_line *line = &desk->lines[number];
    if (line->has_turn || !line->first)
        return;
    line->has_turn = true;
    line->next_turn = NONE;
    if (desk->first_turn == NONE)
        desk->first_turn = number;
    else
        desk->lines[desk->last_turn].next_turn = number;
    desk->last_turn = number;
}

/* Takes a line out of those that wait for their turn. before: the one in front of it, or NONE. */
static void leave_turn(struct desk *desk, uint32_t before, uint32_t number) {
    struct desk_line *line = &desk->lines[number];
    *(before == NONE ? &desk->first_turn : &desk->lines[before].next_turn) = line->next_turn;
    if (desk->last_turn == number)
        desk->last_turn = before;
    line->has_turn = false;
}

/*
 * Finds the line whose turn it is: the first one of the network that has had the fewest turns. Lines in which nobody waits
 * any more are closed on the way. *before: the line in front of it. Returns NONE when none may send.
 */
static uint32_t choose_line(struct desk *desk, uint32_t *before) {
    uint32_t best = NONE, earlier = NONE, next;
    uint64_t fewest = UINT64_MAX;
    for (uint32_t number = desk->first_turn; number != NONE; number = next) {
        const struct desk_line *line = &desk->lines[number];
        uint64_t turns = network_of(desk, line)->turns;
        next = line->next_turn;
        if (!line->first) {
            leave_turn(desk, earlier, number);
            close_line(desk, number);
            continue;
        }
        turns = turns > desk->turn ? turns : desk->turn;
        if (turns < fewest && may_send(desk, line)) {
            fewest = turns;
            best = number;
            *before = earlier;
        }
        earlier = number;
    }
    return best;
}

/* Takes the oldest request out of the line whose turn it is. NULL: no line may send. */
static struct desk_request *next_request(struct desk *desk) {
    uint32_t before = NONE, number = choose_line(desk, &before);
    if (number == NONE)
        return NULL;
    struct desk_line *line = &desk->lines[number];
    struct desk_network *network = network_of(desk, line);
    struct desk_request *request = line->first;
    desk->turn = network->turns > desk->turn ? network->turns : desk->turn;
    network->turns = desk->turn + 1;
    network->under_way++;
    line->under_way++;
    line->first = request->later;
    *(line->first ? &line->first->earlier : &line->last) = NULL;
    leave_turn(desk, before, number);
    line_up(desk, number);
    return request;
}

/* ---- places ---- */

/* A ticket names a place and how often it was used before; it is never 0. */
static uint64_t ticket_of(const struct desk *desk, uint32_t place) {
    return (uint64_t)desk->places[place].generation << 32 | place | 1ull << 31;
}

static bool place_of(const struct desk *desk, uint64_t ticket, uint32_t *place) {
    *place = (uint32_t)ticket & 0x7fffffff;
    return *place < DESK_UNDER_WAY && desk->places[*place].taken && ticket_of(desk, *place) == ticket;
}

/* Returns DESK_UNDER_WAY when none is free. */
static uint32_t free_place(const struct desk *desk) {
    uint32_t place = 0;
    while (place < DESK_UNDER_WAY && desk->places[place].taken)
        place++;
    return place;
}

static void give_back(struct desk *desk, uint32_t place) {
    uint32_t line = desk->places[place].line;
    desk->places[place].taken = false;
    desk->places[place].request = NULL;
    desk->places[place].generation++;
    desk->lines[line].under_way--;
    network_of(desk, &desk->lines[line])->under_way--;
    line_up(desk, line);
    close_line(desk, line);
}

/* Gives out places to requests whose turn it is. */
static void take_places(struct desk *desk) {
    uint32_t place;
    struct desk_request *request;
    while ((place = free_place(desk)) < DESK_UNDER_WAY && (request = next_request(desk))) {
        desk->places[place].request = request;
        desk->places[place].line = request->line;
        desk->places[place].taken = true;
        desk->unsent[desk->unsent_count++] = place;
        request->question.ticket = ticket_of(desk, place);
        request->state = DESK_IS_UNDER_WAY;
        request->place = place;
    }
}

/* ---- asking ---- */

void desk_ask(struct desk *desk, struct desk_request *request, const struct desk_origin *origin) {
    uint32_t number = line_of(desk, origin);
    struct desk_line *line = &desk->lines[number];
    request->line = number;
    request->state = DESK_WAITS;
    request->later = NULL;
    request->earlier = line->last;
    *(line->last ? &line->last->later : &line->first) = request;
    line->last = request;
    line_up(desk, number);
}

/* Takes a place out of those whose question has not been sent. Returns whether it was there. */
static bool take_back(struct desk *desk, uint32_t place) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < desk->unsent_count; i++) {
        if (desk->unsent[i] != place)
            desk->unsent[kept++] = desk->unsent[i];
    }
    bool was_there = kept < desk->unsent_count;
    desk->unsent_count = kept;
    return was_there;
}

void desk_forget(struct desk *desk, struct desk_request *request) {
    struct desk_line *line = &desk->lines[request->line];
    if (request->state == DESK_WAITS) {
        *(request->earlier ? &request->earlier->later : &line->first) = request->later;
        *(request->later ? &request->later->earlier : &line->last) = request->earlier; /* closed at its turn */
    } else if (request->state == DESK_IS_UNDER_WAY) {
        desk->places[request->place].request = NULL;
        if (take_back(desk, request->place))
            give_back(desk, request->place);
    }
    request->state = DESK_IDLE;
}

void desk_send(struct desk *desk) {
    uint32_t sent = 0;
    take_places(desk);
    for (; sent < desk->unsent_count; sent++) {
        const struct signing_question *question = &desk->places[desk->unsent[sent]].request->question;
        if (send(desk->channel, question, sizeof *question, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break; /* no room now: tried again at the next turn of the event loop */
    }
    desk->unsent_count -= sent;
    memmove(desk->unsent, desk->unsent + sent, desk->unsent_count * sizeof *desk->unsent);
}

/* ---- answers ---- */

static void deliver(struct desk *desk, const struct signing_answer *answer,
                    void (*each)(void *, const uint8_t *, size_t, void *), void *context) {
    uint32_t place;
    if (!place_of(desk, answer->ticket, &place))
        return;
    take_back(desk, place); /* an answer to what was not asked yet is one, too: nobody is left waiting */
    struct desk_request *request = desk->places[place].request;
    give_back(desk, place);
    if (!request)
        return;
    request->state = DESK_IDLE;
    each(request->owner, answer->signature, answer->result == SIGNING_DONE ? answer->signature_size : 0, context);
}

bool desk_receive(struct desk *desk, void (*each)(void *owner, const uint8_t *signature, size_t size, void *context),
                  void *context) {
    struct signing_answer answer;
    for (int i = 0; i < ANSWERS_AT_ONCE; i++) {
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
