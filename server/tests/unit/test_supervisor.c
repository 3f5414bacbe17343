/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the supervisor reacts to signals, its workers, the key process, and its listeners. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/random.h"
#include "common/sandbox.h"
#include "common/systemd.h"
#include "keys/key_client.h"
#include "keys/key_service.h"
#include "logged.h"
#include "supervisor/children.h"
#include "supervisor/generation.h"
#include "supervisor/listen.h"
#include "supervisor/supervisor.h"

/* ---- replacements for all other parts: they record that they were called, and return what a test wants ---- */

static char called[8192];
static uint64_t moment = 1000000;

static struct {
    int open, identify; /* results for a generation */
    size_t capsules;    /* number of capsules in it */
    uint32_t workers;   /* number in its settings */
    size_t ready, ready_after;
    int signals[8];
    unsigned long_waits[8]; /* how long each of these waits takes, in milliseconds */
    size_t signal_count;
    bool never_takes_over, gone, no_keys, no_places;
    uint64_t taken_over_at;
    enum listen_state listeners[2];
    unsigned watchdog;
    int sandbox, connected;
    struct systemd_socket sockets[3];
    size_t socket_count;
    int listen_status;
} world;

static void note(const char *format, ...) {
    size_t length = strlen(called);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(called + length, sizeof called - length, format, arguments);
    va_end(arguments);
    if (more < 0 || length + (size_t)more + 1 >= sizeof called)
        called[length] = '\0'; /* it is full */
    else
        strcat(called, ";");
}

static uint64_t pretended_milliseconds(void) {
    return moment;
}

static int pretended_pause(void) {
    moment++;
    return 0;
}

static void pretended_notify(const char *message) {
    note("tell %.*s", (int)strcspn(message, "\n"), message);
}

static char told[2048]; /* the last message */

static void pretended_tell(const char *message) {
    snprintf(told, sizeof told, "%s", message);
    pretended_notify(message);
}

static unsigned pretended_watchdog(void) {
    return world.watchdog;
}

static size_t pretended_take_sockets(struct systemd_socket *sockets, size_t max) {
    cr_expect_eq(max, SYSTEMD_SOCKETS_MAX);
    memcpy(sockets, world.sockets, sizeof world.sockets);
    return world.socket_count;
}

static void pretended_manager_open(void) {
    note("open manager");
}

static int pretended_connect(const char *path, int type) {
    cr_expect_eq(type, SOCK_SEQPACKET);
    note("connect %s", path);
    return world.connected;
}

static int pretended_listen_open(const char *address, bool only_six, struct listener *listener) {
    note("listen %s%s", address, only_six ? " six" : "");
    *listener = (struct listener){-1, 1965};
    return world.listen_status;
}

static bool pretended_adopt(int descriptor, struct listener *listener) {
    note("adopt %s", descriptor >= 0 ? "one" : "none");
    *listener = (struct listener){-1, 1965};
    return world.listen_status == 0;
}

static enum listen_state pretended_look_after_listener(const struct listener *listener) {
    return world.listeners[listener->port - 1965];
}

static int pretended_generation_open(struct generation *generation, const struct generation_sources *sources) {
    (void)sources;
    memset(generation, 0, sizeof *generation);
    generation->capsules.folder = -1;
    generation->capsule_count = world.capsules;
    generation->settings.workers = world.workers;
    note("open generation");
    return world.open;
}

static int pretended_identify(struct generation *generation, const struct generation_sources *sources, int control) {
    (void)generation, (void)sources, (void)control;
    note("identify");
    return world.identify;
}

static void pretended_generation_dispose(struct generation *generation) {
    note("dispose %zu", generation->capsule_count);
}

static bool pretended_are_gone(int control) {
    (void)control;
    return world.gone;
}

static int pretended_sandbox(enum sandbox_role role, int folder) {
    cr_expect_eq(role, SANDBOX_SUPERVISOR);
    cr_expect_eq(folder, -1);
    note("sandbox");
    return world.sandbox;
}

static void pretended_begin(struct children *children) {
    children_begin(children);
    children->worker_count = 2;
}

static int pretended_start_keys(struct children *children) {
    (void)children;
    note("start keys");
    return world.no_keys ? -EAGAIN : 0;
}

static bool pretended_make_places(struct children *children, size_t workers) {
    (void)children, (void)workers;
    note("make places");
    return !world.no_places;
}

static void pretended_renew(struct children *children) {
    (void)children;
    note("renew");
}

static size_t pretended_ready(const struct children *children) {
    (void)children;
    return world.ready;
}

static bool pretended_has_taken_over(const struct children *children) {
    (void)children;
    return !world.never_takes_over && moment >= world.taken_over_at;
}

static void pretended_reap(struct children *children) {
    (void)children;
    note("reap");
}

static void pretended_look_after(struct children *children) {
    (void)children;
    note("look after");
}

static uint64_t pretended_wake(const struct children *children, uint64_t latest) {
    (void)children;
    return latest;
}

static void pretended_examine(struct children *children) {
    (void)children;
    note("examine");
}

/* Delivers the signals in order, each after its time; then SIGTERM. */
static int pretended_wait(struct children *children, uint64_t milliseconds) {
    (void)children;
    static size_t at;
    note("wait %" PRIu64, milliseconds);
    if (strstr(called, "first"))
        at = 0, *strstr(called, "first") = 'F';
    if (at >= world.signal_count)
        return SIGTERM;
    moment += world.long_waits[at] ? world.long_waits[at] : milliseconds;
    if (world.ready_after == at + 1)
        world.ready = 2;
    return world.signals[at++];
}

static void pretended_stop_workers(struct children *children) {
    (void)children;
    note("stop workers");
}

static void pretended_end_workers(struct children *children) {
    (void)children;
    note("end workers");
}

static void pretended_dispose(struct children *children) {
    if (children->signals >= 0)
        close(children->signals);
    note("dispose staff");
}

int test_supervise(const struct serve_options *options);

#define supervisor_serve test_supervise
#define clock_milliseconds pretended_milliseconds
#define ppoll(...) pretended_pause()
#define systemd_notify pretended_tell
#define systemd_watchdog_milliseconds pretended_watchdog
#define systemd_take_sockets pretended_take_sockets
#define systemd_open pretended_manager_open
#define systemd_connect pretended_connect
#define listen_open pretended_listen_open
#define listen_adopt pretended_adopt
#define listen_look_after pretended_look_after_listener
#define generation_open pretended_generation_open
#define generation_identify pretended_identify
#define generation_dispose pretended_generation_dispose
#define key_client_is_gone pretended_are_gone
#define sandbox_enter pretended_sandbox
#define children_begin pretended_begin
#define children_start_keys pretended_start_keys
#define children_make_places pretended_make_places
#define children_renew pretended_renew
#define children_ready pretended_ready
#define children_has_taken_over pretended_has_taken_over
#define children_reap pretended_reap
#define children_look_after pretended_look_after
#define children_wake pretended_wake
#define children_examine pretended_examine
#define children_wait pretended_wait
#define children_stop_workers pretended_stop_workers
#define children_end_workers pretended_end_workers
#define children_dispose pretended_dispose
#include "supervisor/supervisor.c"

static struct supervisor supervisor;

static void prepare(void) {
    pretended_begin(&supervisor.children);
    supervisor.generation.capsules.folder = -1;
    log_limit(LOG_LEVEL_NOTICE);
    strcpy(called, "first;");
}

TestSuite(supervisor, .init = prepare, .timeout = 60);

static void expect_called(const char *expected) {
    cr_expect_str_eq(called + strlen("first;"), expected);
    strcpy(called, "first;");
}

/* ---- status messages ---- */

Test(supervisor, what_is_told) {
    static struct worker_shared all_shared[2];
    struct generation *generation = &supervisor.generation;
    supervisor.children.all_shared = all_shared;
    supervisor.children.shared_count = 2;
    world.ready = 2;
    generation->capsule_count = 3;
    tell(&supervisor, "READY=1\n");
    cr_expect_str_eq(told,
                     "READY=1\nSTATUS=Serving 3 capsules with 2 workers; 0 requests answered, 0 connections open, 0 "
                     "refused, 0 throttled, 0 displaced, 0 late, 0 foreign, 0 failed, 0 slowed down");
    all_shared[0].counters = (struct counters){.open = 1,
                                               .answered = 2,
                                               .refused = 3,
                                               .throttled = 4,
                                               .displaced = 5,
                                               .late = 6,
                                               .foreign = 7,
                                               .failed = 8,
                                               .slowed = 9};
    all_shared[1].counters = (struct counters){.open = 10,
                                               .answered = 20,
                                               .refused = 30,
                                               .throttled = 40,
                                               .displaced = 50,
                                               .late = 60,
                                               .foreign = 70,
                                               .failed = 80,
                                               .slowed = 90};
    supervisor.children.answered = 100;
    supervisor.not_reloaded = generation->is_sample = generation->has_lost_page = true;
    generation->unnamed_count = generation->closed_count = generation->certificates.barred = 1;
    tell(&supervisor, "");
    cr_expect_str_eq(
        told, "STATUS=Not reloaded: the old state stays; the log says why. Every name shows the sample, because "
              "there is no capsule; the log says what to do. A page in the content folder belongs to no host; the "
              "log says what to do. No client can ask for 1 folder not named like a host; the log says what to do. "
              "The server cannot read 1 file or folder; the log says what to do. 1 host refused for want of a "
              "usable identity; the log says why. Serving 3 capsules with 2 "
              "workers; 122 requests answered, 11 connections open, 33 refused, 44 throttled, 55 displaced, 66 "
              "late, 77 foreign, 88 failed, 99 slowed down");
    /* The longest message is not cut off. */
    generation->unnamed_count = generation->closed_count = generation->certificates.barred = SIZE_MAX;
    generation->capsule_count = SIZE_MAX;
    for (size_t i = 0; i < sizeof all_shared[0].counters / sizeof all_shared[0].counters.open; i++)
        (&all_shared[0].counters.accepted)[i] = UINT64_MAX;
    all_shared[1].counters = (struct counters){0};
    supervisor.children.answered = 0;
    tell(&supervisor, "WATCHDOG=1\n");
    cr_expect_not_null(strstr(
        told, "18446744073709551615 folders not named like a host; the log says what to do. The server cannot read"));
    cr_expect_not_null(strstr(told, "18446744073709551615 files or folders; the log says what to do. "));
    cr_expect_not_null(
        strstr(told, "18446744073709551615 hosts refused for want of a usable identity; the log says why. "));
    cr_expect_str_eq(told + strlen(told) - strlen(", 18446744073709551615 slowed down"),
                     ", 18446744073709551615 slowed down", "%s", told);
}

/* ---- options at the start ---- */

Test(supervisor, sockets_that_are_handed_over) {
    struct serve_options options = {0};
    int pair[2];
    cr_assert_eq(take_listeners(&supervisor, &options), 0);
    expect_called("open manager;listen [::]:1965;");
    cr_expect_eq(supervisor.listener_count, 1);
    supervisor.listener_count = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    world.socket_count = 3;
    world.sockets[0] = (struct systemd_socket){dup(pair[0]), "gemini"};
    world.sockets[1] = (struct systemd_socket){pair[1], "keys"};
    world.sockets[2] = (struct systemd_socket){dup(pair[0]), "keys"}; /* only one is accepted */
    cr_assert_eq(take_listeners(&supervisor, &options), 0);
    expect_called("open manager;adopt one;adopt one;");
    cr_expect_eq(supervisor.listener_count, 2);
    cr_expect_eq(supervisor.children.control, pair[1]);
    cr_expect(supervisor.children.keys_apart);
    world.listen_status = EX_USAGE;
    cr_expect_eq(take_listeners(&supervisor, &options), EX_USAGE);
    expect_called("open manager;adopt one;");
    /* If addresses are given, only these count, and passed sockets are closed. */
    world.listen_status = 0;
    supervisor.listener_count = 0;
    supervisor.children.control = -1;
    options = (struct serve_options){.listen = {"[::]:1", "[::1]:2"}, .listen_count = 2};
    cr_expect_eq(take_listeners(&supervisor, &options), 0);
    expect_called("open manager;listen [::]:1;listen [::1]:2;");
    cr_expect_eq(supervisor.listener_count, 2);
    cr_expect_eq(supervisor.children.control, pair[1]);
    cr_expect_eq(fcntl(world.sockets[0].descriptor, F_GETFD), -1);
    cr_expect_eq(fcntl(world.sockets[2].descriptor, F_GETFD), -1);
    supervisor.listener_count = 0;
    options.listen[0] = "127.0.0.1:1";
    cr_expect_eq(open_listeners(&supervisor, &options), 0);
    expect_called("listen 127.0.0.1:1 six;listen [::1]:2 six;");
    world.listen_status = EX_OSERR;
    supervisor.listener_count = 0;
    cr_expect_eq(open_listeners(&supervisor, &options), EX_OSERR);
    expect_called("listen 127.0.0.1:1 six;");
    cr_expect_eq(supervisor.listener_count, 0);
}

Test(supervisor, the_key_service_by_its_path) {
    struct children *children = &supervisor.children;
    world.connected = 5;
    cr_expect_eq(reach_keys(children, NULL), EX_OK);
    cr_expect_not(children->keys_apart);
    children->keys_apart = true;
    cr_expect_eq(reach_keys(children, "/run/keys"), EX_OK);
    expect_called("");
    children->keys_apart = false;
    cr_expect_eq(reach_keys(children, "/run/keys"), EX_OK);
    expect_called("connect /run/keys;");
    cr_expect(children->keys_apart);
    cr_expect_eq(children->control, 5);
    children->keys_apart = false;
    world.connected = -EACCES;
    logged_begin();
    cr_expect_eq(reach_keys(children, "/run/keys"), EX_UNAVAILABLE);
    cr_expect_not_null(strstr(logged_end(), "the key service cannot be reached at /run/keys: Permission denied"));
    world.connected = -EINVAL;
    logged_begin();
    cr_expect_eq(reach_keys(children, "keys"), EX_USAGE);
    cr_expect_not_null(strstr(logged_end(), "--keys takes a path that begins with / and has at most 107 bytes"));
    world.connected = -EAGAIN;
    logged_begin();
    cr_expect_eq(reach_keys(children, "/run/keys"), EX_UNAVAILABLE);
    cr_expect_not_null(
        strstr(logged_end(), "the key service cannot be reached at /run/keys: it accepts no connections"));
    cr_expect_geq(moment, KEYS_WITHIN, "the service may be busy for a moment only");
    cr_expect_not(children->keys_apart);
}

Test(supervisor, the_state_folder) {
    int before = dup(STDOUT_FILENO);
    close(before);
    cr_expect_eq(check_state("/tmp"), EX_OK);
    logged_begin();
    cr_expect_eq(check_state("/nowhere"), EX_NOINPUT);
    cr_expect_not_null(
        strstr(logged_end(), "state folder /nowhere: No such file or directory; name another with --state"));
    int after = dup(STDOUT_FILENO);
    close(after);
    cr_expect_eq(after, before, "a descriptor is left open");
}

Test(supervisor, signals_that_are_waited_for) {
    static const int wanted[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, 37};
    struct sigaction action;
    struct signalfd_siginfo got;
    cr_assert(prepare_signals(&supervisor.children));
    int signals = supervisor.children.signals;
    cr_expect(fcntl(signals, F_GETFL) & O_NONBLOCK);
    cr_expect_eq(fcntl(signals, F_GETFD), FD_CLOEXEC);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_assert_eq(raise(wanted[i]), 0);
        cr_assert_eq(read(signals, &got, sizeof got), (ssize_t)sizeof got, "signal %d", wanted[i]);
        cr_expect_eq(got.ssi_signo, wanted[i]);
        cr_expect_eq(is_stop(wanted[i]), wanted[i] == SIGTERM || wanted[i] == SIGINT || wanted[i] == 37);
    }
    cr_expect_eq(read(signals, &got, sizeof got), -1);
    cr_assert_eq(sigaction(SIGPIPE, NULL, &action), 0);
    cr_expect_eq(action.sa_handler, SIG_IGN);
    cr_assert_eq(sigaction(SIGHUP, NULL, &action), 0);
    cr_expect_neq(action.sa_handler, SIG_DFL, "systemd 262 wants one");
    cr_expect_neq(action.sa_handler, SIG_IGN);
    close(signals);
}

/* ---- reload ---- */

Test(supervisor, a_reload_that_works) {
    supervisor.generation.capsule_count = 1;
    supervisor.not_reloaded = true;
    world.capsules = 7;
    world.taken_over_at = moment + 20;
    logged_begin();
    reload(&supervisor);
    cr_expect_str_eq(strchr(logged_end(), 'r'), "reloaded: serving 7 capsules\n");
    expect_called("tell RELOADING=1;open generation;identify;dispose 1;renew;tell READY=1;");
    cr_expect_eq(supervisor.generation.capsule_count, 7);
    cr_expect_not(supervisor.not_reloaded);
    cr_expect_eq(moment, world.taken_over_at);
    world.never_takes_over = true;
    uint64_t begun = moment;
    reload(&supervisor);
    cr_expect_eq(moment, begun + 3000, "it goes on some time");
    cr_expect_not_null(strstr(told, "READY=1\nSTATUS=Serving 7 capsules"));
}

/* The number of workers stays as at the start. The log tells the administrator once for each change. */
Test(supervisor, a_reload_with_another_number_of_workers) {
    static const struct {
        uint32_t workers;
        size_t warnings;
    } reloads[] = {{2, 0}, {3, 1}, {3, 0}, {4, 1}, {2, 0}, {2, 0}, {0, 1}};
    supervisor.workers = supervisor.generation.settings.workers = 2;
    for (size_t i = 0; i < sizeof reloads / sizeof *reloads; i++) {
        world.workers = reloads[i].workers;
        logged_begin();
        reload(&supervisor);
        const char *text = logged_end();
        cr_expect_eq(logged_count(text, "the setting workers has changed; restart the server"), reloads[i].warnings,
                     "reload %zu: %s", i, text);
    }
}

Test(supervisor, a_reload_that_fails_changes_nothing) {
    supervisor.generation.capsule_count = 1;
    world.capsules = 7;
    world.open = EX_CONFIG;
    logged_begin();
    reload(&supervisor);
    cr_expect_eq(logged_count(logged_end(), "not reloaded: the old state stays"), 1);
    expect_called("tell RELOADING=1;open generation;dispose 7;tell READY=1;");
    cr_expect_eq(supervisor.generation.capsule_count, 1);
    cr_expect(supervisor.not_reloaded);
    cr_expect_not_null(strstr(told, "READY=1\nSTATUS=Not reloaded"));
    world.open = EX_OK;
    world.identify = EX_UNAVAILABLE;
    reload(&supervisor);
    expect_called("tell RELOADING=1;open generation;identify;dispose 7;tell READY=1;");
    cr_expect_eq(supervisor.generation.capsule_count, 1);
}

/* ---- workers ---- */

Test(supervisor, workers_that_get_ready) {
    int signal = 0;
    world.signal_count = 2;
    world.ready_after = 2;
    cr_expect(start_workers(&supervisor.children, &signal));
    expect_called("renew;wait 2;wait 2;");
    cr_expect_eq(moment, 1000004);
    world.ready = 1;
    world.ready_after = 0;
    world.signals[1] = SIGCHLD;
    cr_expect_not(start_workers(&supervisor.children, &signal));
    expect_called("renew;wait 2;wait 2;reap;");
    world.signals[1] = SIGINT;
    cr_expect_not(start_workers(&supervisor.children, &signal));
    cr_expect_eq(signal, SIGINT);
    expect_called("renew;wait 2;wait 2;");
    world.signals[1] = 0;
    world.signal_count = 3;
    world.long_waits[0] = 20000;
    world.long_waits[1] = 1;
    logged_begin();
    cr_expect_not(start_workers(&supervisor.children, &signal));
    cr_expect_not_null(strstr(logged_end(), "the workers were not ready within 20 seconds"));
    expect_called("renew;wait 2;wait 2;");
}

Test(supervisor, listeners_are_looked_after) {
    supervisor.listeners[0] = (struct listener){-1, 1965};
    supervisor.listeners[1] = (struct listener){-1, 1966};
    supervisor.listener_count = 2;
    logged_begin();
    cr_expect(look_after_listeners(&supervisor));
    cr_expect_str_eq(logged_end(), "");
    expect_called("");
    world.listeners[1] = LISTEN_MENDED;
    logged_begin();
    cr_expect(look_after_listeners(&supervisor));
    cr_expect_not_null(
        strstr(logged_end(), "the listening socket of port 1966 had been set to blocking mode; corrected"));
    expect_called("examine;");
    world.listeners[0] = LISTEN_DEAD;
    logged_begin();
    cr_expect_not(look_after_listeners(&supervisor));
    cr_expect_not_null(strstr(logged_end(), "the listening socket of port 1965 was shut down; exiting"));
    expect_called("");
}

/* ---- the loop ---- */

Test(supervisor, what_it_does_all_day) {
    world.signal_count = 5;
    world.signals[0] = SIGCHLD;
    world.signals[1] = SIGHUP;
    world.long_waits[0] = 10;
    world.long_waits[1] = 20;
    world.long_waits[2] = 970;
    logged_begin();
    cr_expect_eq(run(&supervisor), EX_OK);
    logged_end();
    expect_called(
        "wait 1000;reap;look after;wait 990;tell RELOADING=1;open generation;identify;dispose 0;renew;"
        "tell READY=1;look after;wait 970;look after;tell STATUS=Serving 0 capsules with 0 workers; 0 requests "
        "answered, 0 connections open, 0 refused, 0 throttled, 0 displaced, 0 late, 0 foreign, 0 failed, 0 "
        "slowed down;wait 1000;look after;tell STATUS=Serving 0 capsules with 0 workers; 0 requests "
        "answered, 0 connections open, 0 refused, 0 throttled, 0 displaced, 0 late, 0 foreign, 0 failed, 0 "
        "slowed down;wait 1000;look after;tell STATUS=Serving 0 capsules with 0 workers; 0 requests "
        "answered, 0 connections open, 0 refused, 0 throttled, 0 displaced, 0 late, 0 foreign, 0 failed, 0 "
        "slowed down;wait 1000;");
    world.watchdog = 600;
    world.signal_count = 1;
    world.signals[0] = 0;
    world.long_waits[0] = 0;
    cr_expect_eq(run(&supervisor), EX_OK);
    expect_called("wait 200;look after;tell WATCHDOG=1;wait 200;");
    world.watchdog = 3000;
    cr_expect_eq(run(&supervisor), EX_OK);
    expect_called("wait 1000;look after;tell WATCHDOG=1;wait 1000;");
    world.watchdog = 30000;
    cr_expect_eq(run(&supervisor), EX_OK);
    expect_called("wait 1000;look after;tell WATCHDOG=1;wait 1000;");
}

Test(supervisor, what_ends_it) {
    world.signal_count = 1;
    world.gone = true;
    cr_expect_eq(run(&supervisor), EX_OK, "a key process of its own is another matter");
    strcpy(called, "first;");
    supervisor.children.keys_apart = true;
    logged_begin();
    cr_expect_eq(run(&supervisor), EX_UNAVAILABLE);
    cr_expect_not_null(strstr(logged_end(), "the key service closed the connection"));
    expect_called("wait 1000;");
    /* Workers end with their key process. The supervisor must notice that while it waits for them at a stop. */
    world.signals[0] = SIGCHLD;
    cr_expect_eq(run(&supervisor), EX_UNAVAILABLE);
    expect_called("wait 1000;reap;");
    world.signals[0] = 0;
    world.gone = false;
    supervisor.listeners[0] = (struct listener){-1, 1965};
    supervisor.listener_count = 1;
    world.listeners[0] = LISTEN_DEAD;
    cr_expect_eq(run(&supervisor), EX_UNAVAILABLE);
    expect_called("wait 1000;look after;end workers;");
}

/* ---- complete runs ---- */

static const char *said; /* the log of the last run */

static int serve(const char *listen) {
    struct serve_options options = {
        .listen = {listen}, .listen_count = 1, .content = "/tmp", .state = "/tmp", .keys = NULL};
    strcpy(called, "first;");
    logged_begin();
    int status = test_supervise(&options);
    said = logged_end();
    return status;
}

#define BEGIN "open manager;listen [::1]:1;open generation;"
#define STOP "tell STOPPING=1;stop workers;"
#define DISPOSE(count) "dispose staff;dispose " #count ";"

Test(supervisor, a_whole_life) {
    world.capsules = 4;
    world.ready = 2;
    cr_expect_eq(serve("[::1]:1"), EX_OK);
    expect_called(BEGIN "sandbox;start keys;identify;make places;renew;tell READY=1;wait 1000;" STOP DISPOSE(4));
    world.no_places = true;
    cr_expect_eq(serve("[::1]:1"), EX_OSERR);
    expect_called(BEGIN "sandbox;start keys;identify;make places;" DISPOSE(4));
    world.identify = EX_DATAERR;
    cr_expect_eq(serve("[::1]:1"), EX_DATAERR);
    expect_called(BEGIN "sandbox;start keys;identify;" DISPOSE(4));
    world.no_keys = true;
    cr_expect_eq(serve("[::1]:1"), EX_OSERR);
    expect_called(BEGIN "sandbox;start keys;" DISPOSE(4));
    world.sandbox = -EPERM;
    errno = ENOENT; /* left by something else */
    cr_expect_eq(serve("[::1]:1"), EX_OSERR);
    cr_expect_not_null(strstr(said, "cannot enter its sandbox: Operation not permitted"));
    expect_called(BEGIN "sandbox;" DISPOSE(4));
    world.open = EX_CONFIG;
    cr_expect_eq(serve("[::1]:1"), EX_CONFIG);
    expect_called(BEGIN DISPOSE(4));
    world.listen_status = EX_UNAVAILABLE;
    cr_expect_eq(serve("[::1]:1"), EX_UNAVAILABLE);
    expect_called("open manager;listen [::1]:1;" DISPOSE(0));
}

Test(supervisor, workers_that_do_not_start) {
    world.signal_count = 1;
    world.signals[0] = SIGCHLD;
    cr_expect_eq(serve("[::1]:1"), EX_OSERR);
    expect_called(BEGIN "sandbox;start keys;identify;make places;renew;wait 2;reap;" STOP DISPOSE(0));
    world.signals[0] = SIGTERM;
    cr_expect_eq(serve("[::1]:1"), EX_OK, "it was told to stop");
    expect_called(BEGIN "sandbox;start keys;identify;make places;renew;wait 2;" STOP DISPOSE(0));
}

Test(supervisor, without_a_state_folder) {
    struct serve_options options = {.listen = {"[::1]:1"}, .listen_count = 1, .content = "/tmp", .state = "/nowhere"};
    logged_begin();
    cr_expect_eq(test_supervise(&options), EX_NOINPUT);
    logged_end();
    expect_called(BEGIN DISPOSE(0));
    world.ready = 2;
    world.connected = dup(STDERR_FILENO);
    options.keys = "@keys";
    logged_begin();
    cr_expect_eq(test_supervise(&options), EX_OK, "the key service has it");
    logged_end();
    expect_called("open manager;listen [::1]:1;connect @keys;open generation;sandbox;start keys;identify;make places;"
                  "renew;tell READY=1;wait 1000;" STOP DISPOSE(0));
    world.connected = -EACCES;
    logged_begin();
    cr_expect_eq(test_supervise(&options), EX_UNAVAILABLE);
    logged_end();
    expect_called("open manager;listen [::1]:1;connect @keys;" DISPOSE(0));
}
