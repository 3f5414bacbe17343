/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* Between two looks at the lines of workers; then there are several to be written at a time. Milliseconds. */
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

/* Signals, and when it is time for them the lines of workers. */
static void watch_all(struct children *children, struct watched *watched, bool relays) {
    watched->list[0] = (struct pollfd){children->signals, POLLIN, 0};
    watched->count = 1;
    for (size_t i = 0; relays && i < children->worker_count; i++)
        watch(watched, &children->workers[i]);
    for (size_t i = 0; relays && i < RETIRED_MAX; i++)
        watch(watched, &children->retired[i]);
}

/* Never waits for who reads the log: as long as that one takes nothing, lines stay in the pipes. */
static void relay_all(struct children *children, const struct watched *watched, uint64_t now) {
    for (size_t i = 1; i < watched->count; i++) {
        struct child *child = watched->workers[i];
        if (watched->list[i].revents == 0)
            continue;
        children->relays_at = now + RELAY_PAUSE;
        if (relay_has_room() && !relay_lines(&child->log, child->process, now))
            relay_close(&child->log, child->process, now); /* its end; the worker goes on without, or has gone */
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
