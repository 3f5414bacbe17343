/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "children.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/sandbox.h"
#include "common/systemd.h"
#include "common/text.h"
#include "generation.h"
#include "keys/key_client.h"
#include "listen.h"
#include "processors.h"
#include "start.h"
#include "watch.h"

#define TICK 1000            /* milliseconds between two checks of the workers */
#define START_WITHIN 20000   /* milliseconds until all workers must be ready */
#define KEYS_WITHIN 5000     /* milliseconds until a key service must listen */
#define TAKEOVER_WITHIN 3000 /* milliseconds */
#define STOPS_WITHIN 10000   /* milliseconds in which all has ended, after stop-delay */

/* The signal with which systemd-nspawn asks an init to stop: SIGRTMIN+3 of glibc, which musl calls SIGRTMIN+2. */
#define SIGNAL_HALT 37

struct supervisor {
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct generation_sources sources;
    struct generation generation;
    bool not_reloaded; /* the last reload failed */
    uint32_t workers;  /* the setting, as it was at the start */
    struct children children;
};

/* ---- sockets ---- */

static int open_listeners(struct supervisor *supervisor, const struct serve_options *options) {
    bool any_four = false;
    for (size_t i = 0; i < options->listen_count; i++)
        any_four |= listen_is_four(options->listen[i]);
    for (size_t i = 0; i < options->listen_count; i++) {
        int status = listen_open(options->listen[i], any_four, &supervisor->listeners[supervisor->listener_count]);
        if (status != 0)
            return status;
        supervisor->listener_count++;
    }
    return 0;
}

static int take_listeners(struct supervisor *supervisor, const struct serve_options *options) {
    static const struct serve_options everywhere = {.listen = {"[::]:1965"}, .listen_count = 1};
    struct systemd_socket sockets[SYSTEMD_SOCKETS_MAX];
    size_t count = systemd_take_sockets(sockets, SYSTEMD_SOCKETS_MAX);
    systemd_open();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sockets[i].name, "keys") == 0 && supervisor->children.control < 0) {
            supervisor->children.control = sockets[i].descriptor;
            supervisor->children.keys_apart = true;
        } else if (options->listen_count > 0) {
            close(sockets[i].descriptor);
        } else if (listen_adopt(sockets[i].descriptor, &supervisor->listeners[supervisor->listener_count])) {
            supervisor->listener_count++;
        } else {
            return EX_USAGE;
        }
    }
    if (options->listen_count > 0)
        return open_listeners(supervisor, options);
    return supervisor->listener_count > 0 ? 0 : open_listeners(supervisor, &everywhere);
}

/* Connects to the key service by its path if the service manager passed no connection (systemd before 253). */
static int reach_keys(struct children *children, const char *path) {
    if (children->keys_apart || !path)
        return EX_OK;
    uint64_t give_up = clock_milliseconds() + KEYS_WITHIN;
    int control;
    /* In a pod, both containers start at the same time. */
    while ((control = systemd_connect(path, SOCK_SEQPACKET)) < 0 &&
           (control == -ENOENT || control == -ECONNREFUSED || control == -EAGAIN) && clock_milliseconds() < give_up)
        ppoll(NULL, 0, &(struct timespec){.tv_nsec = 50000000}, NULL);
    if (control == -EINVAL) {
        log_line(LOG_LEVEL_ERROR, "--keys takes a path that begins with / and has at most %zu bytes",
                 sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
        return EX_USAGE;
    }
    if (control < 0) {
        log_line(LOG_LEVEL_ERROR, "the key service cannot be reached at %s: %s; name its socket with --keys", path,
                 control == -EAGAIN ? "it accepts no connections" : strerror(-control));
        return EX_UNAVAILABLE;
    }
    children->control = control;
    children->keys_apart = true;
    return EX_OK;
}

/* Returns the exit status. The first random bytes are fetched before, since no child may share them. */
static int start_keys(struct children *children) {
    int result = random_open();
    if (result == 0 && vitrine_random_block(children->hash_key, sizeof children->hash_key) != 0)
        result = -EIO;
    if (result == 0)
        result = children_start_keys(children);
    if (result == 0)
        return EX_OK;
    log_line(LOG_LEVEL_ERROR, "cannot start the key process: %s", strerror(-result));
    return EX_OSERR;
}

/* ---- folders ---- */

/* Report a missing folder before the key process starts, which could not report it as directly. */
static int check_state(const char *folder) {
    int state = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name another with --state", folder, strerror(errno));
        return EX_NOINPUT;
    }
    close(state);
    return EX_OK;
}

/* ---- status ---- */

/* Shown until a reload succeeds, so that nobody has to look at the right moment. */
#define NOT_RELOADED "Not reloaded: the old state stays; the log says why. "

#define SAMPLE_SHOWN "Every name shows the sample, because there is no capsule; the log says what to do. "
#define LOST_PAGE "A page in the content folder belongs to no host; the log says what to do. "
#define UNNAMED "No client can ask for %zu folder%s not named like a host; the log says what to do. "
#define CLOSED "The server cannot read %zu file%s or folder%s; the log says what to do. "
#define BARRED "%zu host%s refused for want of a usable identity; the log says why. "

/* What is told of the workers' counters, in the order of their list (counters.h). */
#define SHOWN(name, text) {offsetof(struct counters, name), text},
#define SHOWN_DROP(name, NAME) {offsetof(struct counters, name), #name},
static const struct {
    size_t at;
    const char *text; /* NULL: nothing */
} shown[] = {COUNTERS(SHOWN, SHOWN_DROP)};
#undef SHOWN
#undef SHOWN_DROP

/* The sum of a counter over all workers, those that are gone included where that is known. */
static uint64_t sum(const struct children *children, size_t at) {
    uint64_t all = at == offsetof(struct counters, answered) ? children->answered : 0;
    for (size_t i = 0; i < children->shared_count; i++)
        all += *(const _Atomic uint64_t *)((const char *)&children->all_shared[i].counters + at);
    return all;
}

static void tell(const struct supervisor *supervisor, const char *first) {
    const struct children *children = &supervisor->children;
    const struct generation *generation = &supervisor->generation;
    char message[1536], unnamed[128] = "", closed[128] = "", barred[96] = "", counters[512] = "";
    const char *between = "";
    for (size_t i = 0, length = 0; i < sizeof shown / sizeof *shown; i++) {
        if (!shown[i].text)
            continue;
        length += (size_t)snprintf(counters + length, sizeof counters - length, "%s%" PRIu64 " %s", between,
                                   sum(children, shown[i].at), shown[i].text);
        between = ", ";
    }
    if (generation->unnamed_count > 0)
        snprintf(unnamed, sizeof unnamed, UNNAMED, generation->unnamed_count, text_plural(generation->unnamed_count));
    if (generation->closed_count > 0)
        snprintf(closed, sizeof closed, CLOSED, generation->closed_count, text_plural(generation->closed_count),
                 text_plural(generation->closed_count));
    if (generation->certificates.barred > 0)
        snprintf(barred, sizeof barred, BARRED, generation->certificates.barred,
                 text_plural(generation->certificates.barred));
    snprintf(message, sizeof message, "%sSTATUS=%s%s%s%s%s%sServing %zu capsule%s with %zu worker%s; %s", first,
             supervisor->not_reloaded ? NOT_RELOADED : "", generation->is_sample ? SAMPLE_SHOWN : "",
             generation->has_lost_page ? LOST_PAGE : "", unnamed, closed, barred, generation->capsule_count,
             text_plural(generation->capsule_count), children_ready(children), text_plural(children_ready(children)),
             counters);
    systemd_notify(message);
}

/* ---- reload ---- */

/* Whoever asked for the reload continues when it is over: from then on, every client gets the new generation. */
static void wait_for_takeover(const struct children *children) {
    uint64_t give_up = clock_milliseconds() + TAKEOVER_WITHIN;
    while (!children_has_taken_over(children) && clock_milliseconds() < give_up)
        ppoll(NULL, 0, &(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The number of workers is fixed at the start. Logs once for each change of the setting that it needs a restart. */
static void compare_workers(const struct supervisor *supervisor, const struct settings *next) {
    if (next->workers != supervisor->workers && next->workers != supervisor->generation.settings.workers)
        log_line(LOG_LEVEL_WARNING, "the setting workers has changed; restart the server, so that it takes effect");
}

/* A complete new generation takes over, or nothing changes. */
static void reload(struct supervisor *supervisor) {
    struct generation next;
    char message[128];
    /* In microseconds: the service manager ignores a time earlier than its signal. */
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_microseconds());
    systemd_notify(message);
    supervisor->sources.present = &supervisor->generation.certificates;
    int status = generation_open(&next, &supervisor->sources);
    if (status == EX_OK)
        status = generation_identify(&next, &supervisor->sources, supervisor->children.control);
    if (status != EX_OK) {
        generation_dispose(&next);
        log_line(LOG_LEVEL_ERROR, "not reloaded: the old state stays; the lines above say why");
        supervisor->not_reloaded = true;
        tell(supervisor, "READY=1\n");
        return;
    }
    compare_workers(supervisor, &next.settings);
    generation_dispose(&supervisor->generation);
    supervisor->generation = next;
    children_renew(&supervisor->children);
    wait_for_takeover(&supervisor->children);
    supervisor->not_reloaded = false;
    log_line(LOG_LEVEL_NOTICE, "reloaded: serving %zu capsule%s", supervisor->generation.capsule_count,
             text_plural(supervisor->generation.capsule_count));
    tell(supervisor, "READY=1\n");
}

/* ---- main loop ---- */

static bool is_stop(int signal) {
    return signal == SIGTERM || signal == SIGINT || signal == SIGNAL_HALT;
}

/* Starts all workers and waits until each is ready. Returns false if one is not, or if a stop signal came. */
static bool start_workers(struct children *children, int *signal) {
    uint64_t give_up = clock_milliseconds() + START_WITHIN;
    children_renew(children);
    while (children_ready(children) < children->worker_count) {
        *signal = children_wait(children, 2);
        if (is_stop(*signal))
            return false;
        if (*signal == SIGCHLD) { /* a worker that cannot even start logs why, and another one would fail, too */
            children_reap(children);
            return false;
        }
        if (clock_milliseconds() > give_up) {
            log_line(LOG_LEVEL_ERROR, "the workers were not ready within %d seconds", START_WITHIN / 1000);
            return false;
        }
    }
    return true;
}

/*
 * Checks the listening sockets, because the port must answer whatever a worker did: each socket is shared with the
 * workers, and with the service manager beyond the life of this service. Returns false if one cannot be repaired; the
 * service manager then restarts this service, finds that nobody listens, and opens the socket again.
 */
static bool look_after_listeners(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->listener_count; i++) {
        const struct listener *listener = &supervisor->listeners[i];
        enum listen_state state = listen_look_after(listener);
        if (state == LISTEN_DEAD) {
            log_line(
                LOG_LEVEL_ERROR,
                "the listening socket of port %u was shut down; exiting, so that the service manager opens a new one",
                listener->port);
            return false;
        }
        if (state == LISTEN_MENDED) {
            log_line(LOG_LEVEL_ERROR, "the listening socket of port %u had been set to blocking mode; corrected",
                     listener->port);
            children_examine(&supervisor->children);
        }
    }
    return true;
}

/*
 * Handles a request to stop: continues until *stop_at if the settings say so, unless it is the second request. Returns
 * whether it continues.
 */
static bool put_off(const struct supervisor *supervisor, uint64_t *stop_at) {
    uint32_t delay = supervisor->generation.settings.stop_delay;
    if (delay == 0 || *stop_at > 0)
        return false;
    *stop_at = clock_milliseconds() + delay;
    /* A service manager waits for its own time to stop, which need not be known to whoever wrote the settings. */
    char message[64];
    snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%" PRIu64, (uint64_t)(delay + STOPS_WITHIN) * 1000);
    systemd_notify(message);
    log_line(LOG_LEVEL_NOTICE, "told to stop; serving for %u milliseconds more (stop-delay)", delay);
    return true;
}

/* Returns the exit status. */
static int run(struct supervisor *supervisor) {
    struct children *children = &supervisor->children;
    unsigned watchdog = systemd_watchdog_milliseconds();
    uint64_t tick = watchdog > 0 && watchdog / 3 < TICK ? watchdog / 3 : TICK;
    uint64_t next = clock_milliseconds() + tick, stop_at = 0;
    for (;;) {
        uint64_t now = clock_milliseconds(), wake = children_wake(children, next);
        wake = stop_at > 0 && stop_at < wake ? stop_at : wake;
        int signal = children_wait(children, wake > now ? wake - now : 0);
        /* Before anything that ends this: a stop waits for workers that have not been reaped. */
        if (signal == SIGCHLD)
            children_reap(children);
        if (is_stop(signal) && !put_off(supervisor, &stop_at))
            return EX_OK;
        if (stop_at > 0 && clock_milliseconds() >= stop_at)
            return EX_OK;
        if (children->keys_apart && key_client_is_gone(children->control)) {
            log_line(LOG_LEVEL_ERROR, "the key service closed the connection; exiting, so that the service manager "
                                      "opens a new one (OpenFile=)");
            return EX_UNAVAILABLE;
        }
        if (signal == SIGHUP)
            reload(supervisor);
        children_look_after(children);
        if (clock_milliseconds() >= next) {
            if (!look_after_listeners(supervisor)) {
                children_end_workers(children);
                return EX_UNAVAILABLE;
            }
            tell(supervisor, watchdog > 0 ? "WATCHDOG=1\n" : "");
            next = clock_milliseconds() + tick;
        }
    }
}

static void has_handler(int signal) {
    (void)signal;
}

static bool prepare_signals(struct children *children) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGNAL_HALT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    /* This handler never runs, because we wait for the signal; but systemd 262 requires one for Type=notify-reload. */
    signal(SIGHUP, has_handler);
    signal(SIGPIPE, SIG_IGN);
    children->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return children->signals >= 0;
}

/* With the copies of the workers, which close theirs when they are told to stop, these are all but the manager's own.
 */
static void close_listeners(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->listener_count; i++)
        close(supervisor->listeners[i].descriptor);
    supervisor->listener_count = supervisor->children.listener_count = 0;
}

static void dispose(struct supervisor *supervisor) {
    children_dispose(&supervisor->children);
    generation_dispose(&supervisor->generation);
    close_listeners(supervisor);
}

int supervisor_serve(const struct serve_options *options) {
    struct supervisor supervisor = {
        .sources = {.settings = options->settings, .content = options->content, .sample = options->sample},
        .generation.capsules.folder = -1};
    struct children *children = &supervisor.children;
    int signal = 0;

    children_begin(children);
    int status = prepare_signals(children) ? take_listeners(&supervisor, options) : EX_OSERR;
    if (status == 0)
        status = reach_keys(children, options->keys);
    if (status == 0)
        status = generation_open(&supervisor.generation, &supervisor.sources);
    if (status == 0 && !children->keys_apart)
        status = check_state(options->state);
    probe_address(children->probe);
    size_t workers = supervisor.workers = supervisor.generation.settings.workers;
    if (workers == 0)
        workers = processors_allowed();
    /* All later child processes inherit it and give up more. */
    int result = status == 0 ? sandbox_enter(SANDBOX_SUPERVISOR, -1) : 0;
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "the supervisor cannot enter its sandbox: %s", strerror(-result));
        status = EX_OSERR;
    }
    children->listeners = supervisor.listeners;
    children->listener_count = supervisor.listener_count;
    children->generation = &supervisor.generation;
    children->content = options->content;
    children->state = options->state;
    /* The key process starts first: from here on, no other process needs a key. */
    if (status == 0)
        status = start_keys(children);
    if (status == 0)
        status = generation_identify(&supervisor.generation, &supervisor.sources, children->control);
    if (status == 0 && !children_make_places(children, workers))
        status = EX_OSERR;
    if (status == 0) {
        if (start_workers(children, &signal)) {
            log_line(LOG_LEVEL_NOTICE, "serving %zu capsule%s with %zu worker%s", supervisor.generation.capsule_count,
                     text_plural(supervisor.generation.capsule_count), children->worker_count,
                     text_plural(children->worker_count));
            tell(&supervisor, "READY=1\n");
            status = run(&supervisor);
        } else if (!is_stop(signal)) {
            status = EX_OSERR;
        }
        systemd_notify("STOPPING=1\nSTATUS=Finishing open connections");
        close_listeners(&supervisor);
        children_stop_workers(children);
        if (status == 0)
            log_line(LOG_LEVEL_NOTICE, "stopped");
    }
    dispose(&supervisor);
    return status;
}
