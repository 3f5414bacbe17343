/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "admission.h"

#include "connection_io.h"
#include "connection_log.h"

#define TRIES 3              /* to take a place that was made for somebody */
#define LINGERING_AT_ONCE 16 /* lingering connections that are checked for a finished one */
#define SCAN_MAX 512         /* connections of each deadline that are looked at for one that gives way */
#define IDLE 500             /* milliseconds in which the handshake of a live client makes progress */
#define SPEECHLESS 200       /* the same for its first message, which the client sends unasked */

bool admission_has_room(const struct worker *worker) {
    return worker->open < worker->open_max && !loop_is_full(worker);
}

static bool others_have_room(const struct worker *worker) {
    for (size_t i = 0; i < worker->setup->shared_count; i++) {
        const struct worker_shared *shared = &worker->setup->all_shared[i];
        if (shared != worker->setup->shared && shared->room)
            return true;
    }
    return false;
}

/*
 * Which connection ends when all places are taken: first those that have finished, and those that wait for a place for
 * this machine. After that, two things count together. One is how a connection behaves: silent for long, a response
 * that hardly moves, a handshake without progress, a response that moves well. The other is the share of their limits
 * that its address and prefixes take. A few connections are no reason, so a client that loads some pages at once is
 * ended after clients that do nothing, however many addresses these have.
 *
 * A response in its first seconds, one that moves well, or a handshake that makes progress is ended only if one prefix
 * has many connections, and only for a client that has far fewer: otherwise, a crowd that reconnects at once would
 * always be in its first seconds. If there is no such connection either, new ones wait for their turn: if each ended
 * another, nobody would get a response.
 */
enum giver {
    GIVER_THROUGH,
    GIVER_WAITING,
    GIVER_SILENT,
    GIVER_SLOW,
    GIVER_YOUNG,
    GIVER_QUICK,
    GIVER_ONE_OF_MANY,
    GIVER_NONE
};

#define FEW 2      /* eighths of a group's limit that are no reason to end a connection */
#define MANY 8     /* with so many connections of one prefix, others need not wait for it */
#define COMPARED 8 /* so many responses must move well before the slowest of them can be ended for another */

static unsigned load_of(const struct worker *worker, const struct connection *connection) {
    return quota_load(&worker->context->quota, &connection->member);
}

static unsigned crowd_of(const struct worker *worker, const struct connection *connection) {
    return quota_crowd(&worker->context->quota, &connection->member);
}

static unsigned weight_of(unsigned load) {
    return load > FEW ? load - FEW : 0;
}

/* Does a handshake make progress like that of a live client? While it waits for its signature, it does. */
static bool gets_on(const struct worker *worker, const struct connection *connection) {
    uint64_t idle = worker->context->now - connection->stirred;
    return connection->state == STATE_SIGNATURE || idle < (connection->steps == 0 ? SPEECHLESS : IDLE);
}

static enum giver giver_of(const struct worker *worker, const struct connection *connection, unsigned load,
                           unsigned crowd, bool alike) {
    /* For this machine, we cannot know how many clients there are. */
    bool is_known = !alike && !connection_is_local(connection);
    enum giver of_many = is_known && crowd >= MANY ? GIVER_ONE_OF_MANY : GIVER_NONE;
    switch (connection->state) {
    case STATE_WAITING:
        return GIVER_WAITING;
    case STATE_PROXY_HEADER:
    case STATE_HELLO:
    case STATE_HANDSHAKE:
    case STATE_SIGNATURE:
    case STATE_REQUEST:
        if (worker->context->now - connection->begun >= LOOP_LOOK)
            return GIVER_SILENT;
        return gets_on(worker, connection) && (alike || weight_of(load) == 0) ? of_many : GIVER_YOUNG;
    case STATE_DRAIN:
    case STATE_LINGER:
        if (connection->acknowledged || connection->sent == 0)
            return GIVER_THROUGH;
        break;
    default:
        break;
    }
    if (!connection->looked_at)
        return of_many;
    if (connection->pace < LOOP_SLOW)
        return GIVER_SLOW;
    return load > 0 ? GIVER_QUICK : of_many;
}

struct candidate {
    struct connection *connection;
    enum giver giver;
    unsigned reasons; /* to give way */
    unsigned load, crowd;
};

/* alike: it is compared only with those of its own group. */
static struct candidate consider(const struct worker *worker, struct connection *connection, bool alike) {
    static const unsigned behaves[] = {[GIVER_THROUGH] = 100, [GIVER_WAITING] = 50, [GIVER_SILENT] = 6,
                                       [GIVER_SLOW] = 4,      [GIVER_YOUNG] = 1,    [GIVER_QUICK] = 0};
    unsigned load = load_of(worker, connection), crowd = crowd_of(worker, connection);
    enum giver giver = giver_of(worker, connection, load, crowd, alike);
    unsigned reasons = giver <= GIVER_QUICK ? behaves[giver] + (alike ? 0 : weight_of(load)) : 0;
    return (struct candidate){connection, giver, reasons, load, crowd};
}

/*
 * Is one to be ended before the other? Of responses, the one that moved least; of others, the one without progress for
 * the longest time.
 */
static bool gives_way_before(const struct candidate *one, const struct candidate *other) {
    if (one->reasons != other->reasons)
        return one->reasons > other->reasons;
    if (one->giver != other->giver)
        return one->giver < other->giver;
    if (one->giver == GIVER_ONE_OF_MANY && one->crowd != other->crowd)
        return one->crowd > other->crowd;
    if (one->giver != GIVER_SLOW && one->giver != GIVER_QUICK)
        return one->connection->stirred < other->connection->stirred;
    if (one->load != other->load)
        return one->load > other->load;
    if (one->connection->pace != other->connection->pace)
        return one->connection->pace < other->connection->pace;
    return one->connection->taken < other->connection->taken;
}

/* Finds out which of the oldest lingering connections have finished. */
static void look_at_lingering(const struct worker *worker) {
    struct connection *connection = worker->queues[DEADLINE_LINGER].first;
    for (int i = 0; i < LINGERING_AT_ONCE && connection; i++, connection = connection->later)
        connection_has_all(connection);
}

/* If all places for this machine are taken, a connection from it may wait for one, if there is room for that. */
static bool can_wait(const struct worker *worker, const struct connection *newcomer) {
    return connection_is_local(newcomer) && (newcomer->state == STATE_WAITING || admission_has_room(worker));
}

/* Does it have one of the places for this machine? */
static bool has_local_place(const struct connection *connection) {
    return connection->state != STATE_WAITING && !connection->is_probe && connection_is_local(connection);
}

/*
 * Finds the connection to end for this new one, or, if NULL, for any new one. .connection is NULL: none. only_local:
 * among those with a place for this machine.
 */
static struct candidate find_giver(const struct worker *worker, const struct connection *newcomer, bool only_local) {
    struct candidate best = {.giver = GIVER_NONE};
    /*
     * Connections from this machine that make progress are not ended for one that can wait; otherwise somebody would be
     * refused.
     */
    bool alike = only_local && newcomer && can_wait(worker, newcomer);
    int quick = 0;
    look_at_lingering(worker);
    for (enum deadline deadline = 0; deadline < DEADLINE_COUNT; deadline++) {
        struct connection *connection = worker->queues[deadline].first;
        for (int i = 0; i < SCAN_MAX && connection; i++, connection = connection->later) {
            struct candidate next = consider(worker, connection, alike);
            if (next.giver == GIVER_NONE || connection == newcomer || (only_local && !has_local_place(connection)))
                continue;
            quick += next.giver == GIVER_QUICK;
            if (!best.connection || gives_way_before(&next, &best))
                best = next;
        }
    }
    if (only_local && best.giver == GIVER_QUICK && quick < COMPARED)
        best.connection = NULL;
    return best;
}

static void displace(struct worker *worker, const struct candidate *giver) {
    if (giver->giver != GIVER_THROUGH) {
        worker->context->counters->displaced++;
        connection_log_drop(giver->connection, worker->context, DROP_DISPLACED);
    }
    loop_finish(worker, giver->connection, true);
}

/* Does a new connection deserve its place more than this one? Among connections from this machine it does. */
static bool may_displace(const struct worker *worker, const struct connection *newcomer, const struct candidate *giver,
                         bool only_local) {
    if (!giver->connection)
        return false;
    if (only_local)
        return true;
    switch (giver->giver) {
    case GIVER_ONE_OF_MANY:
        return crowd_of(worker, newcomer) * 2 <= giver->crowd;
    case GIVER_QUICK:
        return load_of(worker, newcomer) < giver->load;
    default:
        return weight_of(load_of(worker, newcomer)) <= giver->reasons;
    }
}

/* Ends another connection for a new one, unless the new one deserves its place less. */
static bool make_room(struct worker *worker, const struct connection *newcomer, bool only_local) {
    struct candidate giver = !only_local && worker->giver ? consider(worker, worker->giver, false)
                                                          : find_giver(worker, newcomer, only_local);
    if (!may_displace(worker, newcomer, &giver, only_local))
        return false;
    displace(worker, &giver);
    return true;
}

/* Is there one connection too many? */
static bool is_over(const struct worker *worker) {
    return worker->open > worker->open_max || loop_open(worker) > worker->setup->settings->max_connections;
}

static enum admission admit(struct worker *worker, struct connection *connection) {
    enum admission admission = connection_admit(connection, worker->context);
    /* Another worker may be faster to take the freed place. */
    for (int i = 0;
         i < TRIES && admission == NO_PLACE && connection_is_local(connection) && make_room(worker, connection, true);
         i++)
        admission = connection_admit(connection, worker->context);
    return admission == ADMITTED && is_over(worker) && !make_room(worker, connection, false) ? NO_PLACE : admission;
}

/* Starts a connection that was admitted, and ends one that was not. */
static void begin(struct worker *worker, struct connection *connection, enum admission admission) {
    if (admission != ADMITTED) {
        connection_refuse(connection, worker->context, admission);
        loop_finish(worker, connection, false);
        return;
    }
    /* The client speaks first, and often has already: this saves a wake-up. */
    loop_apply(worker, connection, connection_continue(connection, worker->context, true), true);
}

void admission_receive(struct worker *worker, struct connection *connection) {
    enum admission admission = admit(worker, connection);
    if (admission == NO_PLACE && can_wait(worker, connection)) {
        connection_wait(connection, worker->context);
        loop_wait(worker, connection);
        return;
    }
    begin(worker, connection, admission);
}

void admission_admit_waiting(struct worker *worker) {
    struct connection *connection;
    while ((connection = worker->queues[DEADLINE_WAITING].first)) {
        enum admission admission = admit(worker, connection);
        if (admission == NO_PLACE) {
            connection_wait(connection, worker->context);
            return;
        }
        loop_end_wait(worker, connection);
        begin(worker, connection, admission);
    }
}

bool admission_can_accept(struct worker *worker) {
    worker->giver = NULL;
    if (admission_has_room(worker))
        return true;
    if (loop_is_full(worker) || !others_have_room(worker))
        worker->giver = find_giver(worker, NULL, false).connection;
    return worker->giver != NULL;
}

void admission_make_way(struct worker *worker) {
    struct candidate giver = find_giver(worker, NULL, false);
    if (giver.connection && giver.giver < GIVER_YOUNG)
        displace(worker, &giver);
}
