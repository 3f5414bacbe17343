/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* Milliseconds between two reads of workers' log lines, so that several are written at a time. */
#define RELAY_PAUSE 20

struct watched {
    struct pollfd list[1 + WORKERS_MAX + RETIRED_MAX];
    struct child *workers[1 + WORKERS_MAX + RETIRED_MAX];
    size_t count;
};

static void watch(struct watched *watched, struct child *child) {
    if (child->log.pipe < 0)
        return;
    watched->workers[watched->count] = child;
    watched->list[watched->count++] = (struct pollfd){child->log.pipe, POLLIN, 0};
}

/* Watches signals, and, when it is time, the log lines of workers. */
static void watch_all(struct children *children, struct watched *watched, bool relays) {
    watched->list[0] = (struct pollfd){children->signals, POLLIN, 0};
    watched->count = 1;
    for (size_t i = 0; relays && i < children->worker_count; i++)
        watch(watched, &children->workers[i]);
    for (size_t i = 0; relays && i < RETIRED_MAX; i++)
        watch(watched, &children->retired[i]);
}

/* Never waits for the reader of the log: while it takes nothing, lines stay in the pipes. */
static void relay_all(struct children *children, const struct watched *watched, uint64_t now) {
    for (size_t i = 1; i < watched->count; i++) {
        struct child *child = watched->workers[i];
        if (watched->list[i].revents == 0)
            continue;
        children->relays_at = now + RELAY_PAUSE;
        if (relay_has_room() && !relay_lines(&child->log, child->process, now))
            relay_close(&child->log, child->process,
                        now); /* the end of its log; the worker goes on without one, or has gone */
    }
}

static int take_signal(const struct children *children) {
    struct signalfd_siginfo signal;
    return read(children->signals, &signal, sizeof signal) == (ssize_t)sizeof signal ? (int)signal.ssi_signo : 0;
}

int children_wait(struct children *children, uint64_t milliseconds) {
    static struct watched watched;
    uint64_t now = clock_milliseconds(), until = now + milliseconds;
    do {
        bool relays = now >= children->relays_at;
        uint64_t next = relays || until < children->relays_at ? until : children->relays_at;
        struct timespec timeout = {(time_t)((next - now) / 1000), (long)((next - now) % 1000) * 1000000};
        watch_all(children, &watched, relays);
        if (ppoll(watched.list, watched.count, &timeout, NULL) > 0) {
            int signal = watched.list[0].revents ? take_signal(children) : 0;
            if (signal != 0)
                return signal;
            relay_all(children, &watched, now);
        }
        now = clock_milliseconds();
    } while (now < until);
    return 0;
}
