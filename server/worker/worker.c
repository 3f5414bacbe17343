/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admission.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "content/file_version.h"
#include "content/kept.h"
#include "listening.h"
#include "loop.h"

#define EVENTS_AT_ONCE 64
#define DESCRIPTORS_APART SANDBOX_SHARED /* listeners, epoll, log, descriptors that a library may open */

static void read_signals(struct worker *worker, void *context, uint32_t events) {
    (void)context, (void)events;
    struct signalfd_siginfo signal;
    while (read(worker->stops, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        worker->told_to_stop = true;
        worker->told_to_hurry |= signal.ssi_signo == SIGTERM;
    }
}

/* Taking answers may end connections that have an event of their own in this round. */
static void note_answers(struct worker *worker, void *context, uint32_t events) {
    (void)context, (void)events;
    worker->has_answers = true;
}

/* The key process has closed the channel: no answer can come over it any more, but a new worker gets a new one. */
static void leave_key_process(struct worker *worker) {
    worker->told_to_stop = worker->told_to_hurry = true;
    epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->setup->channel, NULL);
}

static void run(struct worker *worker) {
    struct worker_context *context = worker->context;
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t give_up = 0;

    log_gather();
    while (!worker->told_to_stop || (worker->open > 0 && (!give_up || context->now < give_up))) {
        log_flush();
        int count = epoll_wait(worker->events, events, EVENTS_AT_ONCE, loop_time_to_wait(worker));
        uint64_t now = clock_milliseconds();
        if (now != context->now)
            quota_open(&context->quota); /* loop_open asks for what it finds */
        context->now = now;
        worker->setup->shared->beats++;
        for (int i = 0; i < count; i++) {
            const struct event_source *source = events[i].data.ptr;
            source->handle(worker, source->context, events[i].events);
        }
        /* Last, because it may end connections that have events in this round. */
        if (worker->has_answers && !signing_client_receive(worker->signing_client, loop_take_signature, worker))
            leave_key_process(worker);
        worker->has_answers = false;
        loop_end_the_late(worker);
        admission_admit_waiting(worker);
        listening_attend(worker);
        signing_client_send(worker->signing_client);
        drop_log_settle(&context->remarks, context->now);
        if (worker->told_to_stop) {
            worker->setup->shared->ready = 0;
            kept_open(0); /* leaves the memory to the successor */
        }
        if (worker->told_to_hurry && !give_up)
            give_up = context->now + worker->setup->deadlines.shutdown_grace;
    }
    for (enum deadline deadline = 0; deadline < DEADLINE_COUNT; deadline++) {
        while (worker->queues[deadline].first)
            loop_finish(worker, worker->queues[deadline].first, true);
    }
    log_flush();
}

static bool watch(struct worker *worker, int descriptor, struct event_source *source) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    return epoll_ctl(worker->events, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

static int open_stops(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

/*
 * Descriptors below SANDBOX_SHARED are reserved for those that exist now, including the listeners: the sandbox decides
 * by the number what may be changed. Fills free numbers with copies of a descriptor.
 */
static bool keep_low_numbers(int descriptor) {
    int number;
    do
        number = dup(descriptor);
    while (number >= 0 && number < SANDBOX_SHARED);
    if (number >= 0)
        close(number);
    return number >= 0;
}

/* Each connection may need its socket and a file. Raises the limit of descriptors accordingly. */
static size_t connections_at_most(const struct worker_setup *setup) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)setup->settings->max_connections * 2 + DESCRIPTORS_APART;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return setup->settings->max_connections;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        return setup->settings->max_connections;
    size_t most = limit.rlim_cur > DESCRIPTORS_APART + 2 ? (size_t)(limit.rlim_cur - DESCRIPTORS_APART) / 2 : 1;
    return most < setup->settings->max_connections ? most : setup->settings->max_connections;
}

static bool give_up_power(const struct worker_setup *setup) {
    int result = sandbox_enter(SANDBOX_WORKER, setup->capsules->folder);
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "a worker cannot enter its sandbox: %s", strerror(-result));
    return result == 0;
}

int worker_serve(const struct worker_setup *setup) {
    struct worker worker = {.setup = setup,
                            .events = -1,
                            .stops = -1,
                            .open_max = connections_at_most(setup),
                            .stops_source = {read_signals, NULL},
                            .key_process_source = {note_answers, NULL}};
    int status = 1;

    worker.context = calloc(1, sizeof *worker.context);
    worker.signing_client = malloc(sizeof *worker.signing_client);
    if (!worker.context || !worker.signing_client)
        goto failed;
    signing_client_open(worker.signing_client, setup->channel);
    worker.context->capsules = setup->capsules;
    worker.context->settings = setup->settings;
    worker.context->hash_key = setup->hash_key;
    memcpy(worker.context->probe, setup->probe, sizeof worker.context->probe);
    worker.context->quota = (struct quota){
        .first = &setup->all_shared->quota,
        .count = setup->shared_count,
        .stride = sizeof *setup->all_shared,
        .own = &setup->shared->quota,
        .rates_max = {[QUOTA_HANDSHAKES] = setup->settings->max_handshakes_per_minute,
                      [QUOTA_REQUESTS] = setup->settings->max_requests_per_minute},
    };
    worker.context->counters = &setup->shared->counters;
    worker.context->now = clock_milliseconds();
    worker.events = epoll_create1(EPOLL_CLOEXEC);
    worker.stops = open_stops();
    if (worker.events < 0 || worker.stops < 0 || !watch(&worker, setup->channel, &worker.key_process_source) ||
        !watch(&worker, worker.stops, &worker.stops_source))
        goto failed;
    worker.context->tls = tls_open(setup->certificates, setup->fallback, setup->settings->min_tls == SETTINGS_TLS_1_3,
                                   &worker.context->channel, worker.signing_client);
    if (!worker.context->tls)
        goto end;
    if (!keep_low_numbers(worker.stops))
        goto failed;
    listening_begin(&worker);
    /* Before the first byte from outside. */
    if (!give_up_power(setup))
        goto end;
    setup->shared->ready = 1;
    kept_open(setup->kept_most);
    file_version_below(setup->capsules->folder);
    run(&worker);
    status = 0;
    goto end;
failed:
    log_line(LOG_LEVEL_ERROR, "a worker cannot start: %s", strerror(errno));
end:
    if (worker.events >= 0)
        close(worker.events);
    if (worker.stops >= 0)
        close(worker.stops);
    if (worker.context)
        tls_close(worker.context->tls);
    free(worker.context);
    free(worker.signing_client);
    return status;
}
