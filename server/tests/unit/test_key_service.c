/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The key process, if a worker or a supervisor asks for something that it must not get. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define key_service_serve test_serve
#define key_service_run test_service
#define key_client_is_gone test_are_gone
#define key_client_provide test_provide
#define key_client_provide_sample test_provide_sample
#define key_client_attach test_attach
#define key_client_refresh test_refresh
#define key_client_prepare test_prepare
#include "keys/key_client.c"
#include "keys/key_service.c"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/random.h"
#include "handshake.h"
#include "logged.h"
#include "pretended.h"
#include "shell.h"

static char base[] = "/tmp/vitrine-keys-XXXXXX";
static struct keys keys = {.listener = -1};
static int pair[2];             /* a worker's end and the key process's end */
static struct channel *channel; /* the latter */

static void begin(void) {
    cr_assert_eq(random_open(), 0);
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(chdir(base), 0);
    cr_assert_eq(mkdir("state", 0700) | mkdir("given", 0700), 0);
    log_limit(LOG_LEVEL_ERROR);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void end(void) {
    identity_store_dispose(&keys.store);
    shell("rm -rf %s", base);
}

TestSuite(key_service, .init = begin, .fini = end);

static void open_keys(void) {
    cr_assert_eq(identity_store_open(&keys.store, "state", "given"), EX_OK);
}

/* Opens a channel for a worker of this generation. */
static void open_channel(uint64_t generation) {
    cr_assert(add_channel(&keys, pair[1], generation));
    channel = &keys.channels[keys.channel_count - 1];
}

/* Requests one host of a generation as the supervisor. Returns the ID of its key. */
static const uint8_t *key_id_for(const char *host, uint64_t generation) {
    static struct control_response response;
    struct control_request request;
    cr_assert(control_ask(&request, CONTROL_PROVIDE, 0, generation, host));
    provide(&keys.store, &request, &response);
    cr_assert_eq(response.result, CONTROL_PROVIDED, "%s", host);
    for (size_t i = 0; i < keys.store.count; i++) {
        const struct certificate *public = &keys.store.list[i]->identity.public;
        if (memcmp(public->key_id, response.key_id, sizeof response.key_id) == 0)
            return public->key_id;
    }
    cr_assert_fail("%s", host);
    return NULL;
}

static void ask_bytes(const void *bytes, size_t size) {
    cr_assert_eq(send(pair[0], bytes, size, 0), (ssize_t)size);
}

/* Returns the key process's answer to a question; -1: it does not answer and closes the channel. */
static int result_of(const struct signing_question *question, struct signing_answer *got) {
    ask_bytes(question, sizeof *question);
    if (!answer(&keys, channel))
        return -1;
    cr_assert_eq(recv(pair[0], got, sizeof *got, 0), (ssize_t)sizeof *got);
    cr_expect(signing_answer_is_valid(got, sizeof *got));
    cr_expect_eq(got->request_id, question->request_id);
    return (int)got->result;
}

static struct signing_question transcript_by(const uint8_t *key, enum signing_scheme scheme, const void *hash) {
    struct signing_question question;
    cr_assert(signing_ask(&question, SIGNING_TLS_1_3, scheme, key, hash, 32));
    question.request_id = 77;
    return question;
}

static int result_for(const uint8_t *key) {
    struct signing_answer got;
    struct signing_question question = transcript_by(key, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    return result_of(&question, &got);
}

/* ---- which identities a worker may use ---- */

Test(key_service, a_worker_has_signatures_of_what_it_serves) {
    uint8_t first[SIGNING_KEY_ID], other[SIGNING_KEY_ID], unserved[SIGNING_KEY_ID];
    shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=c -addext subjectAltName=DNS:c "
        "-keyout given/identity.c.key -out given/identity.c.pem 2>/dev/null");
    open_keys();
    memcpy(first, key_id_for("a", 1001), sizeof first);
    memcpy(other, key_id_for("b", 1002), sizeof other);
    open_channel(1001);
    for (size_t i = 0; i < keys.store.count; i++) {
        if (strcmp(keys.store.list[i]->host, "c") == 0)
            memcpy(unserved, keys.store.list[i]->identity.public.key_id, sizeof unserved);
    }
    cr_expect_eq(result_for(first), SIGNING_DONE);
    cr_expect_eq(result_for(other), SIGNING_REFUSED, "of workers of another generation");
    cr_expect_eq(result_for(unserved), SIGNING_REFUSED, "of nobody's");
    cr_expect_eq(result_for((const uint8_t *)"no key has this name, or so we hope"), SIGNING_REFUSED);
    key_id_for("a", 1003);
    cr_expect_eq(result_for(first), SIGNING_DONE, "more serve it now");
}

Test(key_service, a_former_identity_signs_for_those_who_serve_it_still) {
    uint8_t former[SIGNING_KEY_ID], present[SIGNING_KEY_ID];
    open_keys();
    memcpy(former, key_id_for("a", 1001), sizeof former);
    shell("rm state/a.pem");
    key_id_for("b", 1001);
    memcpy(present, key_id_for("a", 1002), sizeof present);
    cr_assert_arr_neq(former, present, sizeof former);
    open_channel(1002);
    cr_expect_eq(result_for(present), SIGNING_DONE);
    cr_expect_eq(result_for(former), SIGNING_REFUSED, "a worker that does not serve it");
    open_channel(1001);
    cr_expect_eq(result_for(former), SIGNING_DONE,
                 "one that goes on with its handshakes, or after a reload that failed");
    cr_expect_eq(result_for(present), SIGNING_REFUSED);
}

/* A key process does not know what its predecessor provided, so what it found at its start may be used. */
Test(key_service, after_a_restart_workers_go_on) {
    uint8_t key[SIGNING_KEY_ID], made[SIGNING_KEY_ID];
    open_keys();
    memcpy(key, key_id_for("a", 1000), sizeof key);
    identity_store_dispose(&keys.store);
    open_keys();
    open_channel(1000);
    cr_expect_eq(channel->generation, IDENTITY_STORE_FOUND);
    cr_expect_eq(result_for(key), SIGNING_DONE);
    memcpy(made, key_id_for("b", 2000), sizeof made);
    cr_expect_eq(result_for(made), SIGNING_REFUSED, "it cannot know that one");
    shell("rm state/a.pem");
    key_id_for("a", 2000);
    cr_expect_eq(result_for(key), SIGNING_DONE, "it serves the former one still");
}

Test(key_service, generations_are_forgotten_in_turn) {
    open_keys();
    const uint8_t *key = key_id_for("a", 1001);
    for (uint64_t generation = 1001; generation <= 1001 + IDENTITY_FILE_GENERATIONS; generation++) {
        key_id_for("a", generation);
        key_id_for("a", generation);
    }
    cr_expect_null(identity_store_find_key(&keys.store, key, 1001));
    for (uint64_t generation = 1002; generation <= 1001 + IDENTITY_FILE_GENERATIONS; generation++)
        cr_expect_not_null(identity_store_find_key(&keys.store, key, generation));
}

/* ---- bad questions ---- */

Test(key_service, what_is_no_question_ends_the_channel) {
    struct {
        struct signing_question question;
        uint8_t more[400];
    } message;
    open_keys();
    const uint8_t *key = key_id_for("a", 1001);
    const struct signing_question right = transcript_by(key, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    static const size_t sizes[] = {1, 8, sizeof right - 1, sizeof right + 1, 312, sizeof message};
    open_channel(1001);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(&message, 0, sizeof message);
        message.question = right;
        ask_bytes(&message, sizes[i]);
        cr_expect_not(answer(&keys, channel), "%zu bytes", sizes[i]);
        cr_expect_lt(recv(pair[0], &message, sizeof message, 0), 0, "nothing comes out");
        cr_assert_gt(recv(pair[1], &message, sizeof message, 0), 0);
    }
    for (size_t bit = 0; bit < 32; bit++) {
        struct signing_question question = right;
        struct signing_answer got;
        question.magic ^= 1u << bit;
        cr_expect_eq(result_of(&question, &got), -1, "magic, bit %zu", bit);
        cr_assert_gt(recv(pair[1], &message, sizeof message, 0), 0);
    }
    cr_expect_eq(result_for(key), SIGNING_DONE);
    shutdown(pair[0], SHUT_WR);
    cr_expect_not(answer(&keys, channel), "the worker has gone");
}

Test(key_service, more_questions_than_a_worker_may_ask_wait) {
    static const uint8_t nobody[SIGNING_KEY_ID];
    const struct signing_question question =
        transcript_by(nobody, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    struct signing_answer got;
    size_t answered = 0;
    open_keys();
    open_channel(1001);
    for (size_t asked = 0; asked < 4001; asked++) {
        ask_bytes(&question, sizeof question);
        cr_assert(answer(&keys, channel));
        answered += recv(pair[0], &got, sizeof got, 0) > 0;
    }
    cr_expect_eq(answered, 4000);
    cr_expect_eq(channel->allowance, 0);
    struct watch watch;
    int wait;
    do { /* within one millisecond */
        channel->counted = clock_milliseconds();
        channel->allowance = 0;
        wait = prepare(&keys, &watch);
    } while (clock_milliseconds() != channel->counted);
    cr_expect_eq(wait, 10, "looked at again soon");
    cr_expect_eq(watch.list[1].fd, -1, "and not before");
    channel->counted = clock_milliseconds() - 1000;
    cr_expect_eq(prepare(&keys, &watch), -1);
    cr_expect_eq(channel->allowance, 4000);
    cr_assert(answer(&keys, channel));
    cr_expect_gt(recv(pair[0], &got, sizeof got, 0), 0, "the one that waited");
}

/* The allowance grows at a fixed rate, up to its initial value. */
Test(key_service, an_allowance_grows_with_time) {
    open_keys();
    open_channel(1001);
    uint64_t before, after;
    do {
        before = clock_milliseconds();
        channel->allowance = 0;
        channel->counted = before - 250;
        unsigned grown = allowance(channel);
        after = clock_milliseconds();
        cr_expect(grown >= 250 * 8000 / 1000 && grown <= (250 + after - before) * 8000 / 1000, "%u", grown);
        cr_expect_geq(channel->counted, before);
    } while (before != after);
    channel->allowance = BURST - 1;
    channel->counted = clock_milliseconds() - 60000;
    cr_expect_eq(allowance(channel), 4000);
    struct watch watch;
    uint64_t now;
    do { /* an allowance of one is sufficient */
        now = channel->counted = clock_milliseconds();
        channel->allowance = 1;
        cr_expect_eq(prepare(&keys, &watch), -1);
    } while (now != clock_milliseconds());
    cr_expect_eq(watch.count, 2);
    cr_expect_eq(watch.list[0].fd, keys.listener);
    cr_expect_eq(watch.list[1].fd, channel->descriptor);
    cr_expect_eq(watch.list[1].events, POLLIN);
    channel->full = true;
    prepare(&keys, &watch);
    cr_expect_eq(watch.list[1].events, POLLOUT);
    cr_expect(answer(&keys, channel), "nobody asks");
    cr_expect_not(channel->full);
    int descriptor = channel->descriptor;
    channel->descriptor = -1;
    cr_expect_not(answer(&keys, channel), "a channel that cannot be read has ended");
    channel->descriptor = descriptor;
}

Test(key_service, who_asks_nonsense_is_told_of) {
    static const uint8_t nobody[SIGNING_KEY_ID];
    struct signing_question question = transcript_by(nobody, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    open_keys();
    open_channel(1001);
    ask_bytes(&question, sizeof question - 1);
    log_limit(LOG_LEVEL_INFO);
    logged_begin();
    cr_expect_not(answer(&keys, channel));
    const char *text = logged_end();
    log_limit(LOG_LEVEL_ERROR);
    cr_expect_eq(logged_count(text, "a worker that asked to sign something other than a TLS handshake"), 1, "%s", text);
    cr_expect_eq(logged_count(text, "\n"), 1, "%s", text);
}

/* A channel outlives an upgrade: the log reports a worker of another version, not an attack. */
Test(key_service, a_worker_of_another_version_is_told_of) {
    static const uint8_t nobody[SIGNING_KEY_ID];
    struct signing_question question = transcript_by(nobody, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    question.magic += 1u << 24;
    open_keys();
    open_channel(1001);
    ask_bytes(&question, sizeof question);
    log_limit(LOG_LEVEL_INFO);
    logged_begin();
    cr_expect_not(answer(&keys, channel));
    const char *text = logged_end();
    log_limit(LOG_LEVEL_ERROR);
    cr_expect_eq(logged_count(text, "a worker of another version; restart vitrine.service"), 1, "%s", text);
    cr_expect_eq(logged_count(text, "\n"), 1, "%s", text);
}

/* A slow signature takes a turn of its own. */
Test(key_service, channels_take_turns) {
    shell("openssl req -x509 -newkey rsa:4096 -nodes -subj /CN=slow -addext subjectAltName=DNS:slow "
          "-keyout given/identity.slow.key -out given/identity.slow.pem 2>/dev/null");
    open_keys();
    const struct signing_question question =
        transcript_by(key_id_for("slow", 1001), SIGNING_RSA_PSS_SHA256, "a hash of thirty-two bytes, or so");
    struct signing_answer got;
    open_channel(1001);
    for (int i = 0; i < 4; i++)
        ask_bytes(&question, sizeof question);
    for (int i = 0; i < 4; i++) {
        cr_assert(answer(&keys, channel));
        cr_assert_eq(recv(pair[0], &got, sizeof got, 0), (ssize_t)sizeof got);
        cr_expect_eq(got.result, SIGNING_DONE);
        cr_expect_lt(recv(pair[0], &got, sizeof got, 0), 0, "one at a turn");
    }
}

/* ---- descriptors ---- */

static size_t open_descriptors(void) {
    size_t count = 0;
    for (int i = 0; i < 1024; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

/* Sends a request with `count` descriptors, and lets the key process answer it. */
static void hand_over(uint32_t command, size_t count) {
    int control[2], given[3];
    struct control_request request;
    struct iovec part = {&request, sizeof request};
    union {
        char bytes[CMSG_SPACE(sizeof given)];
        struct cmsghdr align;
    } room = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    cr_assert(control_ask(&request, CONTROL_ATTACH, 0, 1001, NULL));
    request.command = command;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    for (size_t i = 0; i < count; i++)
        given[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (count > 0) {
        message.msg_control = &room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), given, count * sizeof(int));
    }
    cr_assert_eq(sendmsg(control[0], &message, 0), (ssize_t)sizeof request);
    for (size_t i = 0; i < count; i++)
        close(given[i]);
    cr_expect(answer_control(&keys, control[1]));
    close(control[0]), close(control[1]);
}

Test(key_service, one_descriptor_is_a_channel_and_several_are_none) {
    open_keys();
    size_t before = open_descriptors();
    for (size_t count = 0; count <= 3; count++) {
        size_t channels = keys.channel_count, wanted = count == 1;
        hand_over(CONTROL_ATTACH, count);
        cr_expect_eq(keys.channel_count, channels + wanted, "%zu descriptors", count);
    }
    hand_over(77, 1);
    cr_expect_eq(keys.channel_count, 1, "of a request that makes no sense nothing is kept");
    cr_expect_eq(open_descriptors(), before + 1);
    for (size_t i = 0; i < KEY_SERVICE_CHANNELS_MAX + 3; i++)
        hand_over(CONTROL_ATTACH, 1);
    cr_expect_eq(keys.channel_count, KEY_SERVICE_CHANNELS_MAX);
    cr_expect_eq(open_descriptors(), before + KEY_SERVICE_CHANNELS_MAX);
    while (keys.control_count < KEY_SERVICE_CONTROLS_MAX)
        keys.controls[keys.control_count++] = -1;
    struct watch watch;
    prepare(&keys, &watch);
    cr_expect_eq(watch.count, 1 + 4 + 256, "there is room to look at all of them");
}

Test(key_service, requests_that_do_not_come) {
    open_keys();
    cr_expect(answer_control(&keys, pair[0]), "there is none yet");
    cr_expect_not(answer_control(&keys, -1), "none can come");
}

/* An answer that does not fit is sent later when there is space; if it can never be sent, the channel ends. */
Test(key_service, answers_that_find_no_room) {
    static const uint8_t nobody[SIGNING_KEY_ID];
    const struct signing_question question =
        transcript_by(nobody, SIGNING_ECDSA_SHA256, "a hash of thirty-two bytes, or so");
    struct signing_answer got;
    struct watch watch;
    size_t asked = 0, answered = 0;
    open_keys();
    cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    open_channel(1001);
    while (!channel->full && asked < 1000) {
        ask_bytes(&question, sizeof question);
        cr_assert(answer(&keys, channel));
        asked++;
    }
    cr_assert(channel->full);
    prepare(&keys, &watch);
    cr_expect_eq(watch.list[1].events, POLLOUT);
    while (recv(pair[0], &got, sizeof got, 0) > 0)
        answered++;
    cr_expect_eq(answered, asked - 1);
    cr_assert(answer(&keys, channel));
    cr_expect_not(channel->full);
    cr_expect_gt(recv(pair[0], &got, sizeof got, 0), 0, "the one that found no room");
    ask_bytes(&question, sizeof question);
    shutdown(pair[0], SHUT_RD);
    cr_expect_not(answer(&keys, channel));
    cr_expect_not(channel->full);
}

/* A server may pass any kind of descriptor as a channel. The key process closes it and survives in its sandbox. */
Test(key_service, what_is_no_channel_is_closed) {
    static const struct {
        const char *path;
        int flags;
    } kinds[] = {{"/dev/null", O_RDONLY},          {"/dev/null", O_WRONLY}, {"/dev/null", O_RDWR | O_APPEND},
                 {"/dev/null", O_RDWR | O_DIRECT}, {"/", O_PATH},           {"/", O_RDONLY | O_DIRECTORY}};
    struct control_request request;
    open_keys();
    cr_assert(control_ask(&request, CONTROL_ATTACH, 0, 1001, NULL));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int status = -1, control[2], given = open(kinds[i].path, kinds[i].flags | O_CLOEXEC);
        if (given < 0 && (kinds[i].flags & O_DIRECT))
            continue;
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        cr_assert_eq(control_send(control[0], &request, given), 0);
        pid_t child = fork();
        if (child == 0) {
            bool well = sandbox_enter(SANDBOX_KEYS, -1) == 0 && answer_control(&keys, control[1]) &&
                        keys.channel_count == 1 && !answer(&keys, &keys.channels[0]);
            syscall(SYS_exit_group, well ? 0 : 1);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_expect_eq(status, 0, "%s, flags %o: %x", kinds[i].path, (unsigned)kinds[i].flags, (unsigned)status);
        close(given), close(control[0]), close(control[1]);
    }
}

/* The key process does not block even if a worker's socket is in blocking mode. */
Test(key_service, a_channel_cannot_keep_it_waiting) {
    open_keys();
    cr_assert_eq(fcntl(pair[1], F_SETFL, fcntl(pair[1], F_GETFL) & ~O_NONBLOCK), 0);
    open_channel(1001);
    alarm(20);
    cr_expect(answer(&keys, channel), "nothing was asked");
    alarm(0);
}

/* A server that asks but reads no answers is dropped, because waiting for it would delay signatures for others. */
Test(key_service, who_takes_no_answers_is_left) {
    struct control_request request;
    size_t asked = 0;
    open_keys();
    log_limit(LOG_LEVEL_WARNING);
    logged_begin();
    cr_assert_eq(fcntl(pair[1], F_SETFL, fcntl(pair[1], F_GETFL) & ~O_NONBLOCK), 0);
    cr_assert(control_ask(&request, CONTROL_PROVIDE, 1, 1001, "a"));
    alarm(20); /* ends the test if it waits forever */
    do
        ask_bytes(&request, sizeof request);
    while (answer_control(&keys, pair[1]) && ++asked < 10000);
    alarm(0);
    cr_expect_gt(asked, 3);
    cr_expect_lt(asked, 10000);
    cr_expect_not_null(strstr(logged_end(), "keys: closed the connection of a server that does not take its answers"));
}

/* Connects to an address that the kernel chose. */
static int connect_to(int listener) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    int connected = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(connected, (struct sockaddr *)&name, size), 0);
    return connected;
}

static int listen_for(int type) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof name.sun_family), 0);
    cr_assert_eq(listen(listener, 10), 0);
    return listener;
}

Test(key_service, a_bound_for_supervisors) {
    int supervisors[KEY_SERVICE_CONTROLS_MAX + 1];
    open_keys();
    keys.listener = listen_for(SOCK_SEQPACKET);
    welcome(&keys);
    cr_expect_eq(keys.control_count, 0, "nobody is there");
    for (size_t i = 0; i <= KEY_SERVICE_CONTROLS_MAX; i++) {
        supervisors[i] = connect_to(keys.listener);
        welcome(&keys);
        cr_expect_eq(keys.control_count, i < KEY_SERVICE_CONTROLS_MAX ? i + 1 : KEY_SERVICE_CONTROLS_MAX);
        cr_expect_eq(test_are_gone(supervisors[i]), i == KEY_SERVICE_CONTROLS_MAX);
    }
    for (size_t i = 0; i < KEY_SERVICE_CONTROLS_MAX; i++)
        close(keys.controls[i]);
    for (size_t i = 0; i <= KEY_SERVICE_CONTROLS_MAX; i++)
        close(supervisors[i]);
    close(keys.listener);
    keys.listener = -1;
    welcome(&keys);
}

/* Channels of ended processes are closed and removed; the others stay, in order. */
Test(key_service, ends_of_workers_and_supervisors) {
    int workers[4][2], supervisors[4][2];
    struct watch watch;
    open_keys();
    keys.listener = listen_for(SOCK_SEQPACKET);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, workers[i]), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, supervisors[i]), 0);
        cr_assert(add_channel(&keys, workers[i][1], 1001 + i));
        keys.controls[keys.control_count++] = supervisors[i][1];
    }
    int another = connect_to(keys.listener);
    close(workers[0][0]), close(workers[2][0]), close(supervisors[1][0]), close(supervisors[3][0]);
    cr_expect_eq(prepare(&keys, &watch), -1);
    cr_assert_eq(watch.count, 9);
    cr_assert_eq(poll(watch.list, watch.count, 0), 5);
    serve_ready(&keys, &watch);
    cr_expect_eq(keys.channel_count, 2);
    cr_expect_eq(keys.channels[0].descriptor, workers[1][1]);
    cr_expect_eq(keys.channels[1].descriptor, workers[3][1]);
    cr_assert_eq(keys.control_count, 3);
    cr_expect_eq(keys.controls[0], supervisors[0][1]);
    cr_expect_eq(keys.controls[1], supervisors[2][1]);
    cr_expect_not(test_are_gone(another));
    cr_expect_eq(fcntl(workers[0][1], F_GETFD), -1);
    cr_expect_neq(fcntl(workers[1][1], F_GETFD), -1);
    cr_expect_eq(fcntl(supervisors[3][1], F_GETFD), keys.controls[2] == supervisors[3][1] ? FD_CLOEXEC : -1);
    cr_expect_neq(fcntl(supervisors[0][1], F_GETFD), -1);
    /* Nothing has arrived. */
    cr_assert_eq(prepare(&keys, &watch), -1);
    cr_assert_eq(poll(watch.list, watch.count, 0), 0);
    serve_ready(&keys, &watch);
    cr_expect_eq(keys.channel_count, 2);
    cr_expect_eq(keys.control_count, 3);
}

/* A channel that was added in this round was not polled yet. */
Test(key_service, a_channel_that_has_just_come) {
    struct watch watch;
    int control[2];
    open_keys();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    keys.controls[keys.control_count++] = control[1];
    cr_assert_eq(test_attach(control[0], pair[1], &(struct certificates){.generation = 1001}), 0);
    close(pair[1]);
    close(pair[0]);
    cr_assert_eq(prepare(&keys, &watch), -1);
    cr_assert_eq(poll(watch.list, watch.count, 0), 1);
    serve_ready(&keys, &watch);
    cr_expect_eq(keys.channel_count, 1);
    cr_assert_eq(prepare(&keys, &watch), -1);
    cr_assert_eq(poll(watch.list, watch.count, 0), 1);
    serve_ready(&keys, &watch);
    cr_expect_eq(keys.channel_count, 0);
    cr_expect_eq(keys.control_count, 1);
    close(control[0]), close(control[1]);
}

/* What the service manager passes, by name and type. */
Test(key_service, each_descriptor_has_its_place) {
    struct key_service_options options = {.listener = -1};
    int listener = listen_for(SOCK_SEQPACKET), stream = listen_for(SOCK_STREAM), other = dup(listener);
    adopt(&options, &(struct systemd_socket){.descriptor = stream, .name = "keys"});
    cr_expect_eq(options.listener, -1, "another kind of socket");
    cr_expect_eq(fcntl(stream, F_GETFD), -1);
    adopt(&options, &(struct systemd_socket){.descriptor = pair[0], .name = "keys"});
    cr_expect_eq(options.listener, -1, "it does not listen");
    adopt(&options, &(struct systemd_socket){.descriptor = listener, .name = "keys"});
    cr_expect_eq(options.listener, listener);
    adopt(&options, &(struct systemd_socket){.descriptor = other, .name = "keys"});
    cr_expect_eq(options.listener, listener);
    cr_expect_eq(fcntl(other, F_GETFD), -1);
    for (size_t i = 0; i <= KEY_SERVICE_CHANNELS_MAX; i++) {
        adopt(&options, &(struct systemd_socket){.descriptor = dup(listener), .name = KEY_SERVICE_CHANNEL_NAME});
        adopt(&options, &(struct systemd_socket){.descriptor = dup(listener), .name = KEY_SERVICE_CONTROL_NAME});
    }
    cr_expect_eq(options.channel_count, KEY_SERVICE_CHANNELS_MAX);
    cr_expect_eq(options.control_count, KEY_SERVICE_CONTROLS_MAX);
    cr_expect_eq(options.listener, listener);
    cr_expect_neq(options.channels[0], options.channels[1]);
    cr_expect_neq(options.controls[0], options.controls[1]);
}

/* ---- control requests ---- */

/*
 * Lets the key process answer these bytes of a request. Returns the result in the response, or -1 if there is none.
 * *got is the response, which must be valid.
 */
static int result_of_bytes(const void *request, size_t size, struct control_response *got) {
    int control[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    cr_assert_eq(send(control[0], request, size, 0), (ssize_t)size);
    memset(got, 0xa5, sizeof *got);
    cr_expect(answer_control(&keys, control[1]));
    ssize_t length = recv(control[0], got, sizeof *got, 0);
    close(control[0]);
    cr_expect_not(answer_control(&keys, control[1]), "the supervisor has gone");
    close(control[1]);
    if (length < 0)
        return -1;
    cr_assert(control_response_is_valid(got, (size_t)length));
    return (int)got->result;
}

static int result_of_request(enum control_command command, const char *host, struct control_response *got) {
    struct control_request request;
    cr_assert(control_ask(&request, command, 4711, 1001, host));
    return result_of_bytes(&request, sizeof request, got);
}

Test(key_service, requests_and_responses) {
    static struct control_response got;
    shell("echo broken >given/identity.broken.pem");
    open_keys();
    cr_assert_eq(result_of_request(CONTROL_PROVIDE, "a", &got), CONTROL_PROVIDED);
    cr_expect_eq(got.request_id, 4711, "an answer to another request would be taken for this one");
    cr_expect_str_eq(got.host, "a");
    const struct identity *identity = &keys.store.list[keys.store.count - 1]->identity;
    cr_expect_eq(got.chain_size, identity->public.chain_size);
    cr_expect_arr_eq(got.chain, identity->public.chain, identity->public.chain_size);
    cr_expect_eq(got.key_kind, KEY_P256);
    cr_expect_eq(got.signature_max, identity->public.signature_max);
    cr_expect_not_null(identity_store_find_key(&keys.store, got.key_id, 1001));
    shell("openssl req -x509 -newkey ed25519 -nodes -subj /CN=c -addext subjectAltName=DNS:c,DNS:d -keyout "
          "given/identity.c.key -out given/identity.c.pem 2>/dev/null");
    cr_expect_eq(result_of_request(CONTROL_REFRESH, "", &got), -1);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE, "d", &got), CONTROL_PROVIDED);
    cr_expect_str_eq(got.host, "d", "of the host that was asked for, whatever it was given for");
    cr_expect_eq(got.key_kind, KEY_ED25519);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE, "broken", &got), CONTROL_UNUSABLE);
    cr_expect_str_empty(got.host, "nothing of the one before");
    cr_expect_eq(got.request_id, 4711);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE, "a/b", &got), CONTROL_NONE);
    cr_expect_eq(result_of_request(CONTROL_PREPARE, "new", &got), -1);
    cr_expect_eq(access("state/new.pem", F_OK), -1, "no client may see what may be lost");
    cr_expect_eq(result_of_request(CONTROL_PROVIDE, "a", &got), CONTROL_PROVIDED);
    cr_expect_eq(access("state/new.pem", F_OK), 0);
}

/* An identity for the sample is made if there is no other, and is provided for nothing else. */
Test(key_service, a_request_for_the_sample) {
    static struct control_response got;
    open_keys();
    cr_expect_eq(result_of_request(CONTROL_PROVIDE_SAMPLE, "sample", &got), CONTROL_PROVIDED);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE_SAMPLE, "sample", &got), CONTROL_PROVIDED, "it is there by now");
    cr_expect_eq(result_of_request(CONTROL_PROVIDE_SAMPLE, "other", &got), CONTROL_NONE);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE, "other", &got), CONTROL_PROVIDED);
    cr_expect_eq(result_of_request(CONTROL_PROVIDE_SAMPLE, "sample", &got), CONTROL_NONE);
}

Test(key_service, a_request_to_look_anew) {
    static struct control_response got;
    uint8_t before[SIGNING_KEY_ID];
    open_keys();
    cr_assert_eq(result_of_request(CONTROL_PROVIDE, "a", &got), CONTROL_PROVIDED);
    memcpy(before, got.key_id, sizeof before);
    shell("openssl req -x509 -newkey ed25519 -nodes -subj /CN=a -addext subjectAltName=DNS:a -keyout "
          "given/identity.a.key -out given/identity.a.pem 2>/dev/null");
    cr_assert_eq(result_of_request(CONTROL_PROVIDE, "a", &got), CONTROL_PROVIDED);
    cr_expect_arr_eq(got.key_id, before, sizeof before, "not before it is told");
    cr_expect_eq(result_of_request(CONTROL_REFRESH, "", &got), -1);
    cr_assert_eq(result_of_request(CONTROL_PROVIDE, "a", &got), CONTROL_PROVIDED);
    cr_expect_arr_neq(got.key_id, before, sizeof before);
}

static int manager; /* the service manager's end of the notification socket */

static void pretend_manager(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "notify"};
    char path[64];
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(manager, (struct sockaddr *)&name, sizeof name), 0);
    snprintf(path, sizeof path, "%s/notify", base);
    setenv("NOTIFY_SOCKET", path, 1);
    systemd_open();
}

/* Returns the next message to the service manager; "": none. */
static const char *told(void) {
    static char text[256];
    ssize_t got = recv(manager, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* A complete run with one request, until the supervisor is gone. */
Test(key_service, a_whole_life) {
    struct control_request request;
    static struct control_response got;
    int control[2];
    cr_assert(control_ask(&request, CONTROL_PROVIDE, 1, 1001, "a"));
    open_keys();
    pretend_manager();
    setenv("WATCHDOG_USEC", "90000", 1);
    cr_expect_eq(run(&keys), EX_OK, "nobody is there, and nobody can come");
    cr_expect_str_eq(told(), "READY=1\nSTATUS=Holding 0 identities for 0 workers");
    cr_expect_str_eq(told(), "STOPPING=1");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    keys.controls[keys.control_count++] = control[1];
    open_channel(1001);
    pid_t child = fork(); /* the supervisor */
    if (child == 0) {
        close(control[1]);
        control_send(control[0], &request, -1);
        bool provided = recv(control[0], &got, sizeof got, 0) > 0 && got.result == CONTROL_PROVIDED;
        usleep(100000);
        _exit(!provided);
    }
    close(control[0]);
    told_to_reload = 1;
    uint64_t begun = clock_milliseconds();
    cr_expect_eq(run(&keys), EX_OK);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    cr_expect_geq(clock_milliseconds() - begun, 100);
    cr_expect_geq(keys.next_day, begun + 86400000);
    cr_expect_leq(keys.next_day, clock_milliseconds() + 86400000);
    cr_expect_not(told_to_reload);
    cr_expect_str_eq(told(), "READY=1\nSTATUS=Holding 0 identities for 1 worker");
    cr_expect_eq(strncmp(told(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    cr_expect_eq(strncmp(told(), "READY=1\nSTATUS=Holding ", 23), 0);
    cr_expect_str_eq(told(), "WATCHDOG=1\nSTATUS=Holding 1 identity for 1 worker");
    const char *text;
    size_t beats = 1;
    while (strcmp(text = told(), "WATCHDOG=1\nSTATUS=Holding 1 identity for 1 worker") == 0)
        beats++;
    cr_expect_leq(beats, (clock_milliseconds() - begun) / 30 + 1);
    cr_expect_str_eq(text, "STOPPING=1");
    told_to_stop = 1;
    keys.listener = pair[0]; /* a client could still connect */
    cr_expect_eq(run(&keys), EX_OK);
    cr_expect_str_eq(told(), "READY=1\nSTATUS=Holding 1 identity for 1 worker");
    cr_expect_str_eq(told(), "STOPPING=1");
    unsetenv("WATCHDOG_USEC");
}

/* The service manager keeps the open channels during a restart. */
Test(key_service, what_the_service_manager_keeps) {
    open_keys();
    pretend_manager();
    hand_over(CONTROL_ATTACH, 1);
    cr_expect_not_null(strstr(told(), "FDNAME=channel"));
    keys.channel_count = KEY_SERVICE_CHANNELS_MAX;
    logged_begin();
    hand_over(CONTROL_ATTACH, 1);
    cr_expect_not_null(strstr(logged_end(), "keys: refused a channel: there are 256 already"));
    cr_expect_str_eq(told(), "", "it is closed");
    keys.channel_count = 0;
    keys.listener = listen_for(SOCK_SEQPACKET);
    int supervisor = connect_to(keys.listener);
    welcome(&keys);
    cr_expect_not_null(strstr(told(), "FDNAME=control"));
    close(supervisor);
}

/* It reports at intervals that it lives, and not after every action. */
Test(key_service, a_short_life) {
    int control[2];
    open_keys();
    pretend_manager();
    setenv("WATCHDOG_USEC", "3000000", 1);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    keys.controls[keys.control_count++] = control[1];
    close(control[0]);
    cr_expect_eq(run(&keys), EX_OK);
    cr_expect_str_eq(told(), "READY=1\nSTATUS=Holding 0 identities for 0 workers");
    cr_expect_str_eq(told(), "STOPPING=1");
    unsetenv("WATCHDOG_USEC");
}

Test(key_service, ends_of_certificates_are_told_once_a_day) {
    open_keys();
    key_id_for("a", 1001);
    key_id_for("b", 1001);
    pretended_time = (time_t)keys.store.list[0]->ends - 7 * 86400;
    log_limit(LOG_LEVEL_WARNING);
    logged_begin();
    keys.next_day = 5000;
    warn_daily(&keys, 4999);
    cr_expect_str_eq(logged_end(), "");
    logged_begin();
    warn_daily(&keys, 5000);
    warn_daily(&keys, 5000 + 86400000 - 1);
    cr_expect_eq(logged_count(logged_end(), "\n"), 2, "one line for each host: 7 days before the end");
    cr_expect_eq(keys.next_day, 5000 + 86400000);
    pretended_time = 0;
}

/* The same after a signal from the service manager. */
Test(key_service, a_signal_to_look_anew) {
    uint8_t before[SIGNING_KEY_ID];
    open_keys();
    pretend_manager();
    memcpy(before, key_id_for("a", 1001), sizeof before);
    shell("openssl req -x509 -newkey ed25519 -nodes -subj /CN=a -addext subjectAltName=DNS:a -keyout "
          "given/identity.a.key -out given/identity.a.pem 2>/dev/null");
    reload(SIGHUP);
    cr_assert(told_to_reload);
    refresh(&keys);
    cr_expect_not(told_to_reload);
    cr_expect_eq(strncmp(told(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    cr_expect_str_eq(told(), "READY=1\nSTATUS=Holding 2 identities for 0 workers");
    cr_expect_arr_neq(key_id_for("a", 1002), before, sizeof before);
    cr_expect_not(told_to_stop);
    stop(SIGTERM);
    cr_expect(told_to_stop);
}

/* Sends bytes that must be refused. Returns what was logged. */
static const char *refusal_of(const void *bytes, size_t size) {
    static struct control_response got;
    logged_begin();
    int result = result_of_bytes(bytes, size, &got);
    const char *text = logged_end();
    cr_expect_eq(result, CONTROL_REFUSED, "%zu bytes", size);
    return text;
}

Test(key_service, what_is_no_request_provides_nothing) {
    struct {
        struct control_request request;
        char more;
    } message = {.more = 0};
    struct control_request *request = &message.request, right;
    cr_assert(control_ask(&right, CONTROL_PROVIDE, 4711, 1001, "a"));
    *request = right;
    open_keys();
    log_limit(LOG_LEVEL_WARNING);
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request - 1), "malformed control message"));
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request + 1), "malformed control message"));
    request->command = CONTROL_ATTACH;
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request), "malformed"), "an attached channel has no host");
    memset(request->host, 0, sizeof request->host);
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request), "malformed"), "no descriptor came with it");
    request->command = 77;
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request), "malformed"));
    *request = right;
    memset(request->host, 'a', sizeof request->host);
    cr_expect_not_null(strstr(refusal_of(request, sizeof *request), "malformed"), "a name without an end");
    cr_expect_eq(keys.store.count, 0);
}

/* Control sockets outlive an upgrade: a supervisor of another version is reported, and gets a response at once. */
Test(key_service, a_supervisor_of_another_version_is_told_of) {
    static const struct {
        uint32_t order, serial;
        uint64_t generation;
        char host[254];
    } before = {.order = 1, .serial = 7, .generation = 1001, .host = "a"};
    struct control_request next;
    open_keys();
    log_limit(LOG_LEVEL_WARNING);
    cr_expect_eq(logged_count(refusal_of(&before, sizeof before), "of another version; run: systemctl restart"), 1);
    cr_assert(control_ask(&next, CONTROL_PROVIDE, 4711, 1001, "a"));
    next.magic += 1u << 24;
    cr_expect_eq(logged_count(refusal_of(&next, sizeof next), "of another version; run: systemctl restart"), 1);
    cr_expect_eq(keys.store.count, 0);
}

/* ---- signs nothing but handshakes ---- */

static void write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* Is the signature in the file `signature` valid for these bytes and the key of the certificate in `pem`? */
static bool is_signed(const char *pem, enum signing_scheme scheme, const void *bytes, size_t size) {
    static const char *const hashes[] = {"sha256", "sha384", "sha512"};
    char command[512], options[128] = "";
    bool pss = scheme >> 8 == 8;
    if (scheme != SIGNING_ED25519)
        snprintf(options, sizeof options, "-digest %s%s",
                 hashes[pss ? scheme - SIGNING_RSA_PSS_SHA256 : (scheme >> 8) - 4],
                 pss ? " -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest" : "");
    write_file("message", bytes, size);
    snprintf(command, sizeof command,
             "openssl x509 -in %s -noout -pubkey >public && "
             "openssl pkeyutl -verify -pubin -inkey public -rawin -in message -sigfile signature %s >/dev/null 2>&1",
             pem, options);
    return system(command) == 0;
}

/*
 * An ACME request that revokes a certificate (RFC 8555 section 7.6), in its signed form; 100 and 133 bytes of it are
 * used.
 */
static const char revocation[] =
    "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJrdHkiOiJFQyJ9LCJub25jZSI6Ik4iLCJ1cmwiOiJodHRwczovL2NhLmV4YW1wbGUvcmV2b2tlIn0."
    "eyJjZXJ0aWZpY2F0ZSI6Ik1JSUIiLCJyZWFzb24iOjF9";

static void expect_handshakes_only(const char *host, const char *name, const enum signing_scheme *schemes,
                                   size_t count) {
    const uint8_t *key = key_id_for(host, 1001);
    char pem[64];
    snprintf(pem, sizeof pem, "given/identity.%s.pem", host);
    open_channel(1001);
    for (size_t i = 0; i < count; i++) {
        bool pkcs1 = (schemes[i] & 0xff) == 1;
        uint8_t digest[32], message[SIGNING_MESSAGE_MAX];
        struct signing_question question;
        struct signing_answer got;
        /* A digest of something else, presented as a transcript hash. */
        shell("printf %%s '%s' | openssl dgst -sha256 -binary >digest", revocation);
        FILE *file = fopen("digest", "r");
        cr_assert(file && fread(digest, 1, sizeof digest, file) == sizeof digest && fclose(file) == 0);
        for (unsigned kind = 0; kind < 3; kind++) {
            struct handshake handshake = handshake_of(kind == 1 ? GROUP_P256 : GROUP_X25519);
            enum signing_version version = kind == 0 ? SIGNING_TLS_1_3 : SIGNING_TLS_1_2;
            if (kind == 0 && pkcs1)
                continue;
            cr_assert(signing_ask(&question, version, schemes[i], key, kind == 0 ? digest : handshake.content,
                                  kind == 0 ? sizeof digest : handshake.size));
            cr_assert_eq(result_of(&question, &got), SIGNING_DONE, "%s, scheme %04x", name, schemes[i]);
            write_file("signature", got.signature, got.signature_size);
            cr_expect(is_signed(pem, schemes[i], message, signing_message(&question, message)),
                      "%s, scheme %04x: a handshake", name, schemes[i]);
            cr_expect_not(is_signed(pem, schemes[i], revocation, sizeof revocation - 1), "%s: a revocation", name);
            cr_expect_not(is_signed(pem, schemes[i], digest, sizeof digest), "%s: a digest", name);
        }
    }
}

#define EXPECT_HANDSHAKES_ONLY(host, name, ...)                                                                        \
    expect_handshakes_only(host, name, (const enum signing_scheme[]){__VA_ARGS__},                                     \
                           sizeof((const enum signing_scheme[]){__VA_ARGS__}) / sizeof(enum signing_scheme))

static void give(const char *host, const char *kind) {
    shell(
        "openssl req -x509 -newkey %s -nodes -subj /CN=%s -addext subjectAltName=DNS:%s -keyout given/identity.%s.key "
        "-out given/identity.%s.pem 2>/dev/null",
        kind, host, host, host, host);
}

Test(key_service, every_kind_of_key_signs_handshakes_and_nothing_else) {
    give("p256", "ec -pkeyopt ec_paramgen_curve:P-256");
    give("ed25519", "ed25519");
    give("rsa", "rsa:2048");
    open_keys();
    EXPECT_HANDSHAKES_ONLY("p256", "P-256", SIGNING_ECDSA_SHA256, SIGNING_ECDSA_SHA384, SIGNING_ECDSA_SHA512);
    EXPECT_HANDSHAKES_ONLY("ed25519", "Ed25519", SIGNING_ED25519);
    EXPECT_HANDSHAKES_ONLY("rsa", "RSA", SIGNING_RSA_PKCS1_SHA256, SIGNING_RSA_PKCS1_SHA384, SIGNING_RSA_PKCS1_SHA512,
                           SIGNING_RSA_PSS_SHA256, SIGNING_RSA_PSS_SHA384, SIGNING_RSA_PSS_SHA512);
}

/* Bodies that an attacker wants signed, in the place of a TLS 1.2 handshake: unchanged, or disguised. */
Test(key_service, other_bodies_do_not_pass_for_handshakes) {
    static const uint8_t request[] = "\x30\x62\x02\x01\x00\x30\x00\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21";
    open_keys();
    const uint8_t *key = key_id_for("a", 1001);
    open_channel(1001);
    for (unsigned dressed = 0; dressed < 2; dressed++) {
        for (unsigned group = GROUP_P256; group <= GROUP_X25519; group += GROUP_X25519 - GROUP_P256) {
            struct handshake handshake = handshake_of(group);
            struct signing_question right, question;
            struct signing_answer got;
            size_t free_size = dressed ? 56 : handshake.size; /* the rest must be as in TLS */
            cr_assert(
                signing_ask(&right, SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, key, handshake.content, handshake.size));
            question = right;
            memcpy(question.content, request, sizeof request - 1);
            question.content[1] = (uint8_t)(handshake.size - 2);
            if (group == GROUP_P256)
                memcpy(question.content, "\x30\x81\x82", 3);
            cr_expect_eq(result_of(&question, &got), -1, "a certificate request");
            recv(pair[1], &got, sizeof got, 0);
            question = right;
            memcpy(question.content, revocation, free_size);
            int result = result_of(&question, &got);
            cr_expect_eq(result, dressed ? SIGNING_DONE : -1, "text that TLS follows is no text");
            if (result < 0)
                recv(pair[1], &got, sizeof got, 0);
        }
    }
}

/* ---- the supervisor's side ---- */

/* Sends a response before it is requested. chain_size: the size that it states; sent: the bytes that follow. */
static void respond(const char *host, uint64_t request_id, enum control_result result, uint32_t chain_size,
                    size_t sent) {
    static struct control_response message;
    static char chain[] = "a chain";
    const struct certificate certificate = {.kind = KEY_P256, .signature_max = 72, .chain = chain, .chain_size = 7};
    size_t size = control_reply(&message, request_id, result, host, &certificate);
    if (result == CONTROL_PROVIDED) {
        message.chain_size = chain_size;
        size = offsetof(struct control_response, chain) + sent;
    }
    cr_assert_gt(send(pair[1], &message, size, 0), 0);
}

static enum key_client_answer provide_one(const char *host, struct certificates *certificates) {
    enum key_client_answer answer = KEY_CLIENT_HAVE_NONE;
    char name[HOSTNAME_MAX + 2], *const hosts[] = {name};
    snprintf(name, sizeof name, "%s", host);
    return test_provide(pair[0], hosts, 1, certificates, note_answer, &answer) ? answer : KEY_CLIENT_SILENT;
}

Test(key_service, what_a_supervisor_asks_and_takes) {
    static const struct {
        const char *host;
        enum control_result result;
        uint32_t chain_size;
        size_t sent;
        enum key_client_answer expected;
    } cases[] = {
        {"a", CONTROL_PROVIDED, 7, 7, KEY_CLIENT_PROVIDED},   {"b", CONTROL_PROVIDED, 7, 7, KEY_CLIENT_HAVE_NONE},
        {"a", CONTROL_PROVIDED, 8, 7, KEY_CLIENT_SILENT},     {"a", CONTROL_PROVIDED, 6, 7, KEY_CLIENT_SILENT},
        {"a", CONTROL_UNUSABLE, 0, 0, KEY_CLIENT_UNUSABLE},   {"a", CONTROL_NONE, 7, 7, KEY_CLIENT_HAVE_NONE},
        {"ab", CONTROL_PROVIDED, 7, 7, KEY_CLIENT_HAVE_NONE}, {"a", CONTROL_REFUSED, 0, 0, KEY_CLIENT_SILENT},
    };
    struct control_request request;
    uint64_t request_id = 0;
    log_limit(LOG_LEVEL_ERROR - 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct certificates certificates = {.generation = 1001};
        if (i > 0) /* a late response to an earlier request must be ignored */
            respond("a", request_id, CONTROL_PROVIDED, 7, 7);
        respond(cases[i].host, ++request_id, cases[i].result, cases[i].chain_size, cases[i].sent);
        cr_expect_eq(provide_one("a", &certificates), cases[i].expected, "case %zu", i);
        cr_assert_eq(recv(pair[1], &request, sizeof request, 0), (ssize_t)sizeof request);
        cr_expect(control_request_is_valid(&request, sizeof request));
        cr_expect_str_eq(request.host, "a");
        cr_expect_eq(request.command, CONTROL_PROVIDE);
        cr_expect_eq(request.generation, 1001);
        cr_expect_eq(certificates.count, cases[i].expected == KEY_CLIENT_PROVIDED);
        if (certificates.count == 1) {
            cr_expect_str_eq(certificates.list[0].chain, "a chain");
            cr_expect_eq(certificates.list[0].kind, KEY_P256);
            cr_expect_eq(certificates.list[0].signature_max, 72);
        }
        certificates_dispose(&certificates);
    }
    log_limit(LOG_LEVEL_ERROR);
    /* The longest name that fits into a request, and one byte more. */
    struct certificates certificates = {.generation = 1001};
    char host[HOSTNAME_MAX + 2];
    memset(host, 'a', sizeof host);
    host[sizeof host - 1] = '\0';
    logged_begin();
    cr_expect_eq(provide_one(host, &certificates), KEY_CLIENT_HAVE_NONE);
    cr_expect_not_null(strstr(logged_end(), "identity: host name too long ("));
    cr_expect_lt(recv(pair[1], &request, sizeof request, MSG_DONTWAIT), 0, "nobody is asked");
    host[HOSTNAME_MAX] = '\0';
    respond(host, request_id + 1, CONTROL_PROVIDED, 7, 7);
    cr_expect_eq(provide_one(host, &certificates), KEY_CLIENT_PROVIDED);
    certificates_dispose(&certificates);
    cr_expect_not(test_are_gone(pair[0]));
    close(pair[1]);
    cr_expect(test_are_gone(pair[0]));
    logged_begin();
    cr_expect_eq(provide_one("a", &certificates), KEY_CLIENT_SILENT);
    cr_expect_not_null(strstr(logged_end(), "identity a: the key process closed the connection"));
}

/* A response from a key process of another version is reported at once, without waiting for a timeout. */
Test(key_service, a_key_process_of_another_version_is_told_of) {
    static const struct {
        uint32_t order, serial, provided;
        char more[316];
    } before = {.order = 1, .serial = 1};
    static struct control_response next;
    struct certificates certificates = {.generation = 1001};
    cr_assert_eq(send(pair[1], &before, sizeof before, 0), (ssize_t)sizeof before);
    logged_begin();
    cr_expect_eq(provide_one("a", &certificates), KEY_CLIENT_SILENT);
    cr_expect_not_null(strstr(logged_end(), "identity a: the key process is of another version; run: systemctl"));
    size_t size = control_reply(&next, 2, CONTROL_NONE, NULL, NULL);
    next.magic += 1u << 24;
    cr_assert_eq(send(pair[1], &next, size, 0), (ssize_t)size);
    logged_begin();
    cr_expect_eq(provide_one("a", &certificates), KEY_CLIENT_SILENT);
    cr_expect_not_null(strstr(logged_end(), "identity a: the key process is of another version; run: systemctl"));
    size = control_reply(&next, 3, CONTROL_REFUSED, NULL, NULL);
    cr_assert_eq(send(pair[1], &next, size, 0), (ssize_t)size);
    logged_begin();
    cr_expect_eq(provide_one("a", &certificates), KEY_CLIENT_SILENT);
    cr_expect_not_null(strstr(logged_end(), "identity a: the key process did not understand the request; run: "));
    cr_expect_eq(certificates.count, 0);
}

static char told_of[4096]; /* hosts and answers */

static void note_each(const char *host, enum key_client_answer answer, void *context) {
    (void)context;
    sprintf(told_of + strlen(told_of), "%s%d ", host, (int)answer);
}

/* Takes a request of the supervisor. Returns its number; 0 if there is none. */
static uint64_t take_request(char host[static CONTROL_HOST_SIZE]) {
    struct control_request request;
    ssize_t got = recv(pair[1], &request, sizeof request, MSG_DONTWAIT);
    cr_assert(got < 0 || control_request_is_valid(&request, (size_t)got));
    memcpy(host, request.host, CONTROL_HOST_SIZE);
    return got < 0 ? 0 : request.request_id;
}

/*
 * Forks a key process. In turns, it takes all requests that wait and then answers them. Its exit status is the largest
 * number of requests that it found.
 */
static pid_t answer_in_turns(unsigned turns) {
    pid_t child = fork();
    if (child != 0)
        return child;
    int most = 0;
    for (unsigned turn = 0; turn < turns; turn++) {
        struct pollfd ready = {pair[1], POLLIN, 0};
        char hosts[KEY_SERVICE_CHANNELS_MAX][CONTROL_HOST_SIZE];
        uint64_t numbers[KEY_SERVICE_CHANNELS_MAX];
        int count = 0;
        cr_assert_eq(poll(&ready, 1, 60000), 1);
        ppoll(NULL, 0, &(struct timespec){.tv_nsec = 50000000}, NULL); /* so that all that may come are there */
        while ((numbers[count] = take_request(hosts[count])) > 0)
            count++;
        for (int i = 0; i < count; i++)
            respond(hosts[i], numbers[i], hosts[i][0] == 'u' ? CONTROL_UNUSABLE : CONTROL_PROVIDED, 7, 7);
        most = count > most ? count : most;
    }
    _exit(most);
}

static int most_found(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Many hosts take few turns, and no more requests are under way than there may be. */
Test(key_service, a_supervisor_asks_for_many_hosts_at_once) {
    enum { COUNT = 4 * REQUESTS_AT_ONCE };
    struct certificates certificates = {.generation = 1001};
    char names[COUNT][8], *hosts[COUNT + 3];
    for (int i = 0; i < COUNT; i++) {
        sprintf(names[i], "%c%d", i == 5 ? 'u' : 'h', i);
        hosts[i] = names[i];
    }
    hosts[COUNT] = names[COUNT - 1]; /* under way, or answered; as when a folder is there in two spellings */
    hosts[COUNT + 1] = names[0];
    hosts[COUNT + 2] = (char[]){"z"};
    pid_t child = answer_in_turns(5);
    cr_expect(test_provide(pair[0], hosts, COUNT + 3, &certificates, note_each, NULL));
    cr_expect_eq(most_found(child), REQUESTS_AT_ONCE);
    char expected[sizeof told_of] = "";
    for (int i = 0; i < COUNT; i++)
        sprintf(expected + strlen(expected), "%s%d ", names[i], i == 5 ? KEY_CLIENT_UNUSABLE : KEY_CLIENT_PROVIDED);
    sprintf(expected + strlen(expected), "z%d ", KEY_CLIENT_PROVIDED);
    cr_expect_str_eq(told_of, expected);
    cr_expect_eq(certificates.count, COUNT);
    certificates_dispose(&certificates);
}

/* Else the key process would take an honest supervisor for one that does not take its answers. */
Test(key_service, answers_to_all_requests_under_way_find_room) {
    static struct control_response message;
    static char chain[CERTIFICATE_CHAIN_MAX];
    const struct certificate certificate = {
        .kind = KEY_P256, .signature_max = 72, .chain = chain, .chain_size = sizeof chain};
    int control[2];
    memset(chain, 'a', sizeof chain);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
    size_t size = control_reply(&message, 1, CONTROL_PROVIDED, "a", &certificate);
    cr_assert_gt(size, sizeof chain);
    for (int i = 0; i < REQUESTS_AT_ONCE; i++)
        cr_expect_eq(send(control[1], &message, size, MSG_DONTWAIT), (ssize_t)size, "number %d", i);
    close(control[0]);
    close(control[1]);
}

/* Where nothing fits into the socket, because requests to prepare fill it, this waits for room. */
Test(key_service, a_supervisor_waits_for_room) {
    struct certificates certificates = {.generation = 1001};
    struct control_request request;
    cr_assert(control_ask(&request, CONTROL_PREPARE, 0, 0, "other"));
    int waiting = 0;
    while (control_send(pair[0], &request, -1) == 0)
        waiting++;
    cr_assert(waiting > 0 && errno == EAGAIN);
    pid_t child = fork();
    if (child == 0) {
        char asked[CONTROL_HOST_SIZE];
        uint64_t number = 0;
        struct pollfd ready = {pair[1], POLLIN, 0};
        ppoll(NULL, 0, &(struct timespec){.tv_nsec = 50000000}, NULL);
        for (int i = 0; i <= waiting && poll(&ready, 1, 60000) == 1; i++)
            number = take_request(asked);
        respond(asked, number, CONTROL_PROVIDED, 7, 7);
        _exit(0);
    }
    cr_expect_eq(provide_one("a", &certificates), KEY_CLIENT_PROVIDED);
    cr_expect_eq(most_found(child), 0);
    certificates_dispose(&certificates);
}

/* A key process that ends in the middle: the hosts before are told of, and the next one is named. */
Test(key_service, a_key_process_that_ends_in_the_middle) {
    struct certificates certificates = {.generation = 1001};
    char *hosts[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"c"}};
    pid_t child = fork();
    if (child == 0) {
        char asked[CONTROL_HOST_SIZE];
        struct pollfd ready = {pair[1], POLLIN, 0};
        uint64_t first = 0;
        close(pair[0]);
        /* All of them, for the kernel drops an answer if its sender ends with unread requests. */
        for (int i = 0; i < 3 && poll(&ready, 1, 60000) == 1; i++) {
            uint64_t number = take_request(asked);
            first = first > 0 ? first : number;
        }
        respond("a", first, CONTROL_PROVIDED, 7, 7);
        _exit(0);
    }
    close(pair[1]);
    logged_begin();
    cr_expect_not(test_provide(pair[0], hosts, 3, &certificates, note_each, NULL));
    cr_expect_not_null(strstr(logged_end(), "identity b: the key process closed the connection"));
    cr_expect_str_eq(told_of, "a0 ");
    cr_expect_eq(most_found(child), 0);
    certificates_dispose(&certificates);
}

/* Puts requests for these hosts into a new control socket and answers them. Returns how many turns that took. */
static int turns_for(const char *hosts) {
    static struct control_response got;
    struct control_request request;
    int control[2], turns = 0;
    size_t answered = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
    for (const char *host = hosts; *host; host++) {
        cr_assert(control_ask(&request, CONTROL_PROVIDE, 1, 1001, (char[]){*host, '\0'}));
        cr_assert_eq(control_send(control[0], &request, -1), 0);
    }
    for (; answered < strlen(hosts) && turns < 100; turns++) {
        cr_expect(answer_control(&keys, control[1]));
        while (recv(control[0], &got, sizeof got, MSG_DONTWAIT) > 0)
            answered++;
    }
    cr_expect_eq(answered, strlen(hosts));
    close(control[0]);
    close(control[1]);
    return turns;
}

/* Requests that wait are answered together, but a turn has an end: making 20 keys takes longer. */
Test(key_service, requests_are_answered_in_turns) {
    open_keys();
    cr_expect_eq(turns_for("a"), 1);
    cr_expect_lt(turns_for("aaaaaaaaaaaaaaaaaaaa"), 20);
    cr_expect_gt(turns_for("bcdefghijklmnopqrstu"), 1);
}
