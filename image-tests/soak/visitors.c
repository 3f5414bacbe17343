/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/client.h"

#define PATIENCE 120000 /* milliseconds; slow responses do not count as refused */
#define KILL_SPREAD 50  /* milliseconds by which the recorded time of a kill may be late */
#define CHAIN 3         /* authorities in a certificate chain, new ones for each visit */
#define TOLD_MAX 20     /* errors that each client prints */

/* A kind of request. */
struct wish {
    unsigned weight; /* how often, relative to the others */
    const char *path;
    int status;
    const char *expected; /* META of statuses other than 20, or the whole body; NULL: a version, or `judge` checks it */
    bool (*judge)(struct soak *soak, const struct gemini_reply *reply, const uint32_t surely[BODY_COUNT]);
    bool identified;
};

/* ---- checking responses ---- */

static bool is_version(struct soak *soak, enum body body, const struct gemini_reply *reply,
                       const uint32_t surely[BODY_COUNT]) {
    uint32_t version;
    /* The version must not be older than the one at the time of the request, nor newer than the one that may exist
     * now. */
    return capsule_is_version(body, reply->body, reply->body_size, &version) && version >= surely[body] &&
           version <= soak->perhaps[body];
}

static bool is_page(struct soak *soak, const struct gemini_reply *reply, const uint32_t surely[BODY_COUNT]) {
    return is_version(soak, BODY_PAGE, reply, surely);
}

static bool is_large(struct soak *soak, const struct gemini_reply *reply, const uint32_t surely[BODY_COUNT]) {
    return is_version(soak, BODY_LARGE, reply, surely);
}

static bool is_listing(struct soak *soak, const struct gemini_reply *reply, const uint32_t surely[BODY_COUNT]) {
    const char *at = reply->body;
    (void)soak, (void)surely;
    if (strncmp(at, LISTING_HEAD, strlen(LISTING_HEAD)) != 0)
        return false;
    for (int i = 0; i < LISTED; i++) {
        char link[32];
        snprintf(link, sizeof link, "=> file-%02d.txt ", i);
        at = strstr(at, link);
        if (!at)
            return false;
    }
    return strstr(at + 1, "=> ") == NULL;
}

static const struct wish wishes[] = {
    {500, "/page.gmi", 20, NULL, is_page, false},   {80, "/", 20, "# Start\n", NULL, false},
    {60, "/old.gmi", 31, "/page.gmi", NULL, false}, {40, "/list", 31, NULL, NULL, false},
    {80, "/list/", 20, NULL, is_listing, false},    {30, "/missing.gmi", 51, NULL, NULL, false},
    {30, "/gone.gmi", 52, "Gone", NULL, false},     {60, "/club/", 20, "# Club\n", NULL, true},
    {30, "/club/", 60, NULL, NULL, false},          {20, "/large.txt", 20, NULL, is_large, false},
};

static bool is_right(struct soak *soak, const struct wish *wish, const struct gemini_reply *reply,
                     const uint32_t surely[BODY_COUNT]) {
    if (reply->progress != GEMINI_CLOSE_NOTIFY || reply->status != wish->status)
        return false;
    if (wish->status == 20 && wish->expected)
        return reply->body_size == strlen(wish->expected) && memcmp(reply->body, wish->expected, reply->body_size) == 0;
    if (wish->expected)
        return strcmp(reply->meta, wish->expected) == 0;
    return !wish->judge || wish->judge(soak, reply, surely);
}

/* ---- making requests ---- */

/* Was a worker killed while this connection was open? */
static bool fell_with_a_worker(const struct soak *soak, uint64_t begun) {
    uint64_t kills = soak->kills;
    for (uint64_t i = kills > KILLS_MAX ? kills - KILLS_MAX : 0; i < kills; i++) {
        if (soak->kill_times[i % KILLS_MAX] + KILL_SPREAD >= begun)
            return true;
    }
    return false;
}

static void fail(struct soak *soak, const struct wish *wish, const struct gemini_reply *reply, uint64_t begun,
                 int problem) {
    static unsigned told;
    usleep(KILL_SPREAD * 1000); /* until a kill has been recorded */
    if (problem != ECONNREFUSED && reply->progress != GEMINI_CLOSE_NOTIFY && fell_with_a_worker(soak, begun)) {
        soak->excepted++;
        return;
    }
    if (problem != 0)
        soak->refused++;
    else
        soak->wrong++;
    if (told++ < TOLD_MAX)
        printf("%s: %s, status %d, %zu bytes, progress %d, after %llu ms\n", wish->path,
               problem ? strerror(problem) : "answered", reply->status, reply->size, (int)reply->progress,
               (unsigned long long)(gemini_now() - begun));
    fflush(stdout);
}

static void ask(struct soak *soak, const struct wish *wish) {
    struct gemini_way way = {.port = soak->port, .server_name = "localhost", .patience = PATIENCE};
    struct gemini_reply reply = {.progress = GEMINI_BROKEN};
    char line[128];
    uint32_t surely[BODY_COUNT];
    uint64_t begun = gemini_now();
    int size = snprintf(line, sizeof line, "gemini://localhost:%u%s\r\n", soak->port, wish->path);
    way.identity = wish->identified ? soak->identity : NULL;
    for (enum body body = 0; body < BODY_COUNT; body++)
        surely[body] = soak->surely[body];
    struct gemini_client *client = gemini_connect(&way);
    int problem = client ? 0 : errno;
    /* A server that kept any of these would grow with each visit. */
    for (int i = 0; client && wish->identified && i < CHAIN; i++)
        SSL_add0_chain_cert(client->session, capsule_authority());
    if (client && gemini_shake_hands(client) && gemini_send(client, line, (size_t)size))
        gemini_receive(client, &reply, 0);
    if (is_right(soak, wish, &reply, surely))
        soak->bytes += reply.body_size;
    else
        fail(soak, wish, &reply, begun, problem);
    soak->done++;
    gemini_reply_end(&reply);
    gemini_end(client);
}

/* Closes the connection at some point, every second time with a reset. */
static void give_up(struct soak *soak) {
    struct gemini_way way = {.port = soak->port, .server_name = "localhost", .patience = PATIENCE};
    struct gemini_reply reply = {0};
    char line[128];
    int point = (int)(random() % 5),
        size = snprintf(line, sizeof line, "gemini://localhost:%u/large.txt\r\n", soak->port);
    struct gemini_client *client = gemini_connect(&way);
    if (!client)
        return;
    if (point == 1)
        gemini_send_raw(client, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    if (point >= 2 && gemini_shake_hands(client) && point >= 3 &&
        gemini_send(client, line, point == 3 ? 20 : (size_t)size) && point == 4)
        gemini_receive(client, &reply, 100000);
    if (random() % 2)
        setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    soak->left++;
    gemini_reply_end(&reply);
    gemini_end(client);
}

static const struct wish *choose(void) {
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        sum += wishes[i].weight;
    unsigned at = (unsigned)random() % sum;
    for (size_t i = 0;; i++) {
        if (at < wishes[i].weight)
            return &wishes[i];
        at -= wishes[i].weight;
    }
}

/* Takes one of the requests that are still to be made. */
static bool take_one(struct soak *soak) {
    uint64_t wanted = soak->wanted;
    while (wanted > 0 && !atomic_compare_exchange_weak(&soak->wanted, &wanted, wanted - 1))
        continue;
    return wanted > 0;
}

void visitor_ask(struct soak *soak, unsigned number) {
    srandom(number);
    while (!soak->over && take_one(soak)) {
        if (random() % 15 == 0)
            give_up(soak);
        ask(soak, choose());
    }
}
