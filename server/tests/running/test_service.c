/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The life of the program: what it reports to a service manager, how it stops, what it logs. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/server.h"

#define LARGE (24 * 1024 * 1024)

static struct server server;

static void prepare(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(service, .init = prepare, .fini = end, .timeout = 90);

static void nap(unsigned milliseconds) {
    usleep(milliseconds * 1000);
}

/* ---- the service manager ---- */

Test(service, it_says_that_it_is_ready_and_how_it_is) {
    server_launch(&server);
    const char *message = server_told(&server, "READY=1", 20000);
    cr_assert_not_null(message);
    cr_expect(strstr(message, "STATUS="), "%s", message);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    message = server_told(&server, "STATUS=", 5000);
    cr_expect_not_null(message, "no later STATUS= came");
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    cr_expect_not_null(server_told(&server, "STOPPING=1", 1000));
}

/* ---- a key process that is reached through its path ---- */

/* Starts `vitrine keys` with its own state folder, and the socket that a service manager would pass to it. */
static pid_t start_key_service(const char *path, const char *state) { /* path: at most 107 bytes */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    mkdir(state, 0700);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 8), 0);
    pid_t process = fork();
    if (process == 0) {
        char number[32];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fcntl(listener, F_DUPFD, 10), 3);
        close_range(4, ~0u, 0);
        snprintf(number, sizeof number, "%d", (int)getpid());
        setenv("LISTEN_PID", number, 1);
        setenv("LISTEN_FDS", "1", 1);
        unsetenv("NOTIFY_SOCKET");
        execl(server_program(), server_program(), "keys", "--state", state, NULL);
        _exit(127);
    }
    close(listener);
    cr_assert_gt(process, 0);
    return process;
}

static char keys_path[108], keys_state[128], keys_here[32];

/* Makes the server use the key process at a path, which has a separate state folder. */
static void use_keys_at_path(void) {
    snprintf(keys_path, sizeof keys_path, "%.90s/keys.sock", server.folder);
    snprintf(keys_state, sizeof keys_state, "%s/elsewhere", server.folder);
    snprintf(keys_here, sizeof keys_here, "127.0.0.1:%u", server.port);
    server.arguments[0] = "--listen";
    server.arguments[1] = keys_here;
    server.arguments[2] = "--keys";
    server.arguments[3] = keys_path;
}

Test(service, keys_are_asked_for_at_the_path_that_it_was_told) {
    char identity[192], output[4096];
    use_keys_at_path();

    /* If nobody listens there, the server reports it and starts no key process itself. */
    const char *const alone[] = {"serve", "--listen", keys_here, "--keys", keys_path, NULL};
    cr_expect_eq(run_program(output, sizeof output, alone), 69, "%s", output);
    cr_expect_not_null(strstr(output, "the key service cannot be reached at "), "%s", output);

    pid_t keys = start_key_service(keys_path, keys_state);
    server_start(&server);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    snprintf(identity, sizeof identity, "%s/localhost.pem", keys_state);
    cr_expect_eq(access(identity, F_OK), 0, "the identity is where the key service keeps it");
    snprintf(identity, sizeof identity, "%s/state/localhost.pem", server.folder);
    cr_expect_neq(access(identity, F_OK), 0, "the server has made none itself");
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    kill(keys, SIGTERM);
    cr_expect_eq(waitpid(keys, NULL, 0), keys);
}

static int keys_log = -1; /* standard error of the key process; -1: the test's own */

/* Starts `vitrine keys --listen`, as in a separate container. */
static pid_t start_listening_keys(const char *path, const char *state) {
    mkdir(state, 0700);
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (keys_log >= 0)
            dup2(keys_log, STDERR_FILENO);
        close_range(3, ~0u, 0);
        unsetenv("NOTIFY_SOCKET");
        execl(server_program(), server_program(), "keys", "--listen", path, "--state", state, NULL);
        _exit(127);
    }
    cr_assert_gt(process, 0);
    return process;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int descriptor = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    int result = connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    close(descriptor);
    return result;
}

static void end_keys(pid_t keys, int signal) {
    kill(keys, signal);
    cr_expect_eq(waitpid(keys, NULL, 0), keys);
}

/* The server may start first. A key process that was killed leaves its socket behind, and the next one replaces it. */
Test(service, keys_listen_by_themselves) {
    char identity[192];
    use_keys_at_path();
    for (int round = 0; round < 3; round++) {
        server_launch(&server);
        nap(200);
        pid_t keys = start_listening_keys(keys_path, keys_state);
        cr_assert_not_null(server_told(&server, "READY=1", 20000));
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        cr_expect_eq(server_keys(&server), 0, "the server has a key process of its own");
        snprintf(identity, sizeof identity, "%s/localhost.pem", keys_state);
        cr_expect_eq(access(identity, F_OK), 0);
        snprintf(identity, sizeof identity, "%s/state/localhost.pem", server.folder);
        cr_expect_neq(access(identity, F_OK), 0, "the server has made an identity itself");
        end_keys(keys, SIGKILL);
        cr_expect_eq(server_stop(&server, 0), 69, "the server ends without its key process");
    }
}

/* A secret as Kubernetes mounts it: each file is a link through ..data, which is a link to a folder. */
Test(service, keys_take_a_secret_of_links) {
    char command[1024], made[192], file[192];
    use_keys_at_path();
    snprintf(file, sizeof file, "%s/given", server.folder);
    snprintf(
        command, sizeof command,
        "mkdir -p %s/..2026 && cd %s && ln -s ..2026 ..data && ln -s ..data/identity.localhost.pem . && "
        "openssl req -x509 -newkey ed25519 -nodes -days 90 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
        "-out ..2026/x -keyout ..2026/y 2>/dev/null && cat ..2026/x ..2026/y >..2026/identity.localhost.pem",
        file, file);
    cr_assert_eq(system(command), 0, "%s", command);
    setenv("CREDENTIALS_DIRECTORY", file, 1);
    pid_t keys = start_listening_keys(keys_path, keys_state);
    unsetenv("CREDENTIALS_DIRECTORY");
    server_start(&server);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    snprintf(made, sizeof made, "%s/localhost.pem", keys_state);
    cr_expect_neq(access(made, F_OK), 0, "an identity was made in place of the given one");
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    end_keys(keys, SIGTERM);
}

/* Engines stop all containers of a pod at the same time, but the server still needs signatures (stop-delay). */
Test(service, keys_that_listen_stop_after_their_server) {
    int status = -1;
    use_keys_at_path();
    server_put_settings(&server, "stop-delay = 2s\n");
    pid_t keys = start_listening_keys(keys_path, keys_state);
    server_start(&server);
    uint64_t begun = gemini_now();
    kill(keys, SIGTERM);
    kill(server.process, SIGTERM);
    while (gemini_now() - begun < 1500)
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    cr_expect_eq(server_stop(&server, 0), 0);
    cr_expect_eq(waitpid(keys, &status, 0), keys);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

/* A second signal ends it even if a server is still connected. */
static void expect_end_at_the_second(int signal) {
    int status = -1;
    use_keys_at_path();
    pid_t keys = start_listening_keys(keys_path, keys_state);
    server_start(&server);
    kill(keys, signal);
    nap(500);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    kill(keys, signal);
    cr_expect_eq(waitpid(keys, &status, 0), keys);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    cr_expect_eq(server_stop(&server, 0), 69, "the server ends without its key process");
}

Test(service, keys_that_listen_stop_at_the_second_signal) {
    expect_end_at_the_second(SIGTERM);
}

Test(service, keys_that_listen_stop_at_the_second_sigint) {
    expect_end_at_the_second(SIGINT);
}

/* If it is started in a terminal, it says when it is ready, and Ctrl-C ends it. */
Test(service, keys_by_hand_say_that_they_are_ready_and_stop_at_sigint) {
    char line[256] = "";
    int ends[2], status = -1;
    use_keys_at_path();
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    keys_log = ends[1];
    pid_t keys = start_listening_keys(keys_path, keys_state);
    keys_log = -1;
    close(ends[1]);
    struct pollfd log = {ends[0], POLLIN, 0};
    cr_assert_eq(poll(&log, 1, 20000), 1, "it says nothing");
    cr_assert_gt(read(ends[0], line, sizeof line - 1), 0);
    cr_expect_not_null(strstr(line, "keys: ready"), "%s", line);
    cr_expect_eq(connect_to(keys_path), 0, "it says so too early");
    kill(keys, SIGINT);
    cr_expect(poll(&log, 1, 20000) == 1 && read(ends[0], line, sizeof line) == 0, "it goes on, or says more");
    kill(keys, SIGKILL);
    cr_expect_eq(waitpid(keys, &status, 0), keys);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    close(ends[0]);
}

/* The attack: another user of the machine, or of the pod, asks for signatures. */
Test(service, strangers_cannot_connect_to_the_key_process) {
    struct stat status;
    int result = 0;
    use_keys_at_path();
    cr_assert_eq(chmod(server.folder, 0755), 0);
    mode_t before = umask(0);
    pid_t keys = start_listening_keys(keys_path, keys_state);
    umask(before);
    server_start(&server);
    cr_assert_eq(stat(keys_path, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0600, "mode %o", status.st_mode);
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    pid_t stranger = fork();
    if (stranger == 0)
        _exit(setuid(65534) == 0 ? -connect_to(keys_path) : 0);
    waitpid(stranger, &result, 0);
    cr_expect_eq(WEXITSTATUS(result), EACCES, "%s", strerror(WEXITSTATUS(result)));
    cr_expect_eq(connect_to(keys_path), 0, "not even its user can connect: this test sees nothing");
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    end_keys(keys, SIGTERM);
}

Test(service, a_path_that_something_else_has_stays_as_it_is) {
    char file[160], output[1024];
    use_keys_at_path();
    const char *const in_use[] = {"keys", "--listen", keys_path, "--state", server.folder, NULL};
    pid_t keys = start_listening_keys(keys_path, keys_state);
    for (int i = 0; i < 1000 && connect_to(keys_path) != 0; i++)
        nap(10);
    cr_expect_eq(run_program(output, sizeof output, in_use), 69, "%s", output);
    cr_expect_eq(connect_to(keys_path), 0, "the first one has lost its socket");
    snprintf(file, sizeof file, "%s/content/localhost/index.gmi", server.folder);
    const char *const taken[] = {"keys", "--listen", file, "--state", server.folder, NULL};
    cr_expect_eq(run_program(output, sizeof output, taken), 69, "%s", output);
    cr_expect_eq(access(file, F_OK), 0);
    const char *const nowhere[] = {"keys", "--listen", "/nowhere/keys.sock", "--state", server.folder, NULL};
    cr_expect_eq(run_program(output, sizeof output, nowhere), 73, "%s", output);
    const char *const relative[] = {"keys", "--listen", "keys.sock", "--state", server.folder, NULL};
    cr_expect_eq(run_program(output, sizeof output, relative), 64, "%s", output);
    end_keys(keys, SIGTERM);
}

Test(service, it_is_ready_when_it_says_so) {
    for (int round = 0; round < 5; round++) {
        server_start(&server);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        cr_assert_eq(server_stop(&server, SIGTERM), 0);
    }
}

Test(service, it_feeds_the_watchdog) {
    server.watchdog = 600000;
    server_start(&server);
    for (int round = 0; round < 4; round++)
        cr_expect_not_null(server_told(&server, "WATCHDOG=1", 600), "no sign of life within the watchdog's time");
}

Test(service, without_a_watchdog_it_feeds_none) {
    server_start(&server);
    cr_expect_null(server_told(&server, "WATCHDOG=1", 2500));
}

static int open_listener(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(descriptor, 128), 0);
    return descriptor;
}

Test(service, it_takes_its_sockets_from_the_service_manager) {
    struct gemini_way way = way_to(&server);
    server.handed_over = open_listener(server.port);
    /* A client that connects before the start waits in the socket, also during a restart. */
    for (int round = 0; round < 3; round++) {
        struct gemini_client *early = gemini_connect(&way);
        cr_assert_not_null(early);
        server_start(&server);
        cr_expect(gemini_shake_hands(early), "an early visitor was lost");
        gemini_end(early);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        cr_assert_eq(server_stop(&server, SIGTERM), 0);
    }
    close(server.handed_over);
}

/* ---- how it stops ---- */

static void expect_stop_by(int signal) {
    server_start(&server);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    uint64_t begun = gemini_now();
    cr_expect_eq(server_stop(&server, signal), 0);
    cr_expect_lt(gemini_now() - begun, 3000, "without visitors a stop takes no time");
    struct gemini_way way = way_to(&server);
    cr_expect_null(gemini_connect(&way), "something still listens");
}

Test(service, sigterm_stops_it) {
    expect_stop_by(SIGTERM);
}

Test(service, sigint_stops_it) {
    expect_stop_by(SIGINT);
}

Test(service, sigrtmin_3_stops_it) {
    expect_stop_by(SIGRTMIN + 3);
}

static void expect_init_stopped_by(int signal) {
    server.as_init = true;
    expect_stop_by(signal);
}

/* The kernel ignores signals for an init that has no handler for them. */
Test(service, as_an_init_sigterm_stops_it) {
    expect_init_stopped_by(SIGTERM);
}

Test(service, as_an_init_sigint_stops_it) {
    expect_init_stopped_by(SIGINT);
}

Test(service, as_an_init_sigrtmin_3_stops_it) {
    expect_init_stopped_by(SIGRTMIN + 3);
}

/* Does the program (by now no longer a copy of this test) block SIGTERM, to handle it later? */
static bool expects_a_stop(void) {
    char path[64], line[128], name[32] = "";
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.process);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "Name: %31s", name);
        sscanf(line, "SigBlk: %llx", &blocked);
    }
    if (file)
        fclose(file);
    return strcmp(name, "vitrine") == 0 && (blocked & 1ULL << (SIGTERM - 1));
}

Test(service, a_stop_at_any_moment_of_the_start_is_a_stop) {
    for (unsigned round = 0; round < 25; round++) {
        server_launch(&server);
        usleep(round * round * 50);
        /* Until the program has prepared for signals, the signal itself ends it. */
        bool expected = expects_a_stop();
        int result = server_stop(&server, SIGTERM);
        cr_expect(result == 0 || (result == -SIGTERM && !expected), "round %u: %d", round, result);
    }
}

static void put_large(void) {
    char *bytes = calloc(1, LARGE);
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, LARGE);
    free(bytes);
}

Test(service, a_reply_on_its_way_is_finished_before_the_stop) {
    struct gemini_reply reply = {0};
    put_large();
    server_start(&server);
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 100000);
    kill(server.process, SIGTERM);
    nap(300);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "the reply was broken off after %zu bytes", reply.size);
    cr_expect_eq(reply.body_size, LARGE);
    gemini_end(client);
    cr_expect_eq(server_stop(&server, 0), 0);
}

/* Connects until a connection is refused. Earlier connections must be served. Returns how long that took. */
static uint64_t connect_until_refused(const struct gemini_way *way) {
    uint64_t begun = gemini_now();
    while (gemini_now() - begun < 20000) {
        struct gemini_client *client = gemini_connect(way);
        if (!client) {
            cr_expect_eq(errno, ECONNREFUSED, "%s", strerror(errno));
            return gemini_now() - begun;
        }
        cr_expect(gemini_shake_hands(client) || client->progress == GEMINI_RESET, "a newcomer hangs");
        gemini_end(client);
    }
    return gemini_now() - begun;
}

/* Otherwise the kernel would accept new connections, which would hang as long as another client reads slowly. */
Test(service, newcomers_are_refused_at_once_while_a_reply_is_finished) {
    struct gemini_reply reply = {0};
    put_large();
    server_start(&server);
    struct gemini_way way = way_to(&server);
    way.patience = 3000;
    struct gemini_client *client = gemini_connect(&way);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 100000);
    kill(server.process, SIGTERM);
    uint64_t took = connect_until_refused(&way);
    cr_expect_eq(kill(server.process, 0), 0);
    cr_expect_lt(took, 2500, "newcomers were not refused for %llu ms", (unsigned long long)took);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "the reply was broken off after %zu bytes", reply.size);
    cr_expect_eq(reply.body_size, LARGE);
    gemini_end(client);
    cr_expect_eq(server_stop(&server, 0), 0);
}

/* The service manager's socket outlives the stop: new connections wait in it, and the next server serves them. */
Test(service, a_socket_of_the_service_manager_takes_newcomers_during_a_stop) {
    struct gemini_reply reply = {0};
    put_large();
    server.handed_over = open_listener(server.port);
    server_start(&server);
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way), *newcomers[20];
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 100000);
    kill(server.process, SIGTERM);
    nap(500);
    for (size_t i = 0; i < 20; i++) {
        newcomers[i] = gemini_connect(&way);
        cr_assert_not_null(newcomers[i]);
    }
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.body_size, LARGE);
    gemini_end(client);
    cr_assert_eq(server_stop(&server, 0), 0);
    server_start(&server);
    for (size_t i = 0; i < 20; i++) {
        cr_expect(gemini_shake_hands(newcomers[i]), "newcomer %zu was lost", i);
        gemini_end(newcomers[i]);
    }
    close(server.handed_over);
}

/* A stop limits the time for slow clients; a reload does not. */
Test(service, a_reply_on_its_way_is_finished_after_a_reload) {
    struct gemini_reply reply = {0};
    put_large();
    server_start(&server);
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 100000);
    server_forget_told(&server);
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "READY=1", 20000));
    nap(8000); /* more than a stop would allow */
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "the reply was broken off after %zu bytes", reply.size);
    cr_expect_eq(reply.body_size, LARGE);
    gemini_end(client);
}

static size_t times_logged(const char *text) {
    char *log = server_log(&server);
    size_t times = 0;
    for (const char *at = log; (at = strstr(at, text)); at++)
        times++;
    free(log);
    return times;
}

static void stop_beside_idle_visitors(void) {
    struct gemini_client *idle[20];
    server_start(&server);
    struct gemini_way way = way_to(&server);
    for (int i = 0; i < 20; i++) {
        idle[i] = gemini_connect(&way);
        cr_assert_not_null(idle[i]);
        if (i % 2)
            cr_assert(gemini_shake_hands(idle[i]));
    }
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    for (int i = 0; i < 20; i++)
        gemini_end(idle[i]);
}

/* Workers end by themselves, before the supervisor ends them. A busy machine may be late once. */
Test(service, a_reload_is_over_when_the_old_workers_have_left) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    cr_assert_gt(server_workers(&server, workers), 0);
    kill(workers[0], SIGSTOP);
    uint64_t begun = gemini_now();
    server_reload(&server);
    /* It waits for the worker that does not leave, for the maximum time. */
    cr_expect_geq(gemini_now() - begun, 2900);
    kill(workers[0], SIGCONT);
}

Test(service, visitors_who_say_nothing_do_not_hold_up_a_stop) {
    size_t late = 0;
    for (size_t round = 1; round <= 3 && late == round - 1; round++) {
        stop_beside_idle_visitors();
        late = times_logged("workers have not finished");
    }
    cr_expect_lt(late, 3, "workers had to be ended");
}

Test(service, a_worker_that_hangs_does_not_hold_up_a_stop) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    cr_assert_gt(server_workers(&server, workers), 0);
    kill(workers[0], SIGSTOP);
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    cr_expect(server_logged(&server, "workers have not finished within 6 seconds; ended"));
}

/* ---- workers ---- */

Test(service, a_worker_for_each_core) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    cr_expect_eq(server_workers(&server, workers), (size_t)sysconf(_SC_NPROCESSORS_ONLN));
}

/* When they wake up, none of them interrupts the process that is running. */
Test(service, its_processes_are_a_batch) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    size_t count = server_workers(&server, workers);
    cr_assert_gt(count, 0);
    cr_expect_eq(sched_getscheduler(server_keys(&server)), SCHED_BATCH);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(sched_getscheduler(workers[i]), SCHED_BATCH);
}

static bool all_working(size_t count, pid_t gone) {
    pid_t workers[WORKERS_MAX];
    if (server_workers_if_any(&server, workers) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (workers[i] == gone)
            return false;
    }
    return true;
}

Test(service, a_worker_that_is_killed_is_replaced) {
    pid_t workers[WORKERS_MAX];
    static const int signals[] = {SIGKILL, SIGSEGV, SIGTERM};
    server_start(&server);
    size_t count = server_workers(&server, workers);
    for (int round = 0; round < 3; round++) {
        server_workers(&server, workers);
        kill(workers[0], signals[round]);
        uint64_t deadline = gemini_now() + 10000;
        while (!all_working(count, workers[0]) && gemini_now() < deadline)
            nap(5);
        cr_expect(all_working(count, workers[0]), "the worker killed by signal %d was not replaced", signals[round]);
        for (int i = 0; i < 20; i++)
            expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    }
}

Test(service, all_workers_killed_at_once_are_replaced) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    size_t count = server_workers(&server, workers);
    for (size_t i = 0; i < count; i++)
        kill(workers[i], SIGKILL);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    for (size_t i = 0; i < count; i++) {
        char line[64];
        snprintf(line, sizeof line, "worker (process %d) ended by signal 9", (int)workers[i]);
        cr_expect(server_logged(&server, line), "'%s' is not in the log", line);
    }
}

/* A worker that dies right after its start is replaced after increasing delays: 50 ms, 100 ms, 200 ms... */
Test(service, a_worker_that_dies_young_waits_for_its_turn) {
    pid_t workers[WORKERS_MAX];
    unsigned deaths = 0;
    server_start(&server);
    uint64_t end = gemini_now() + 4000;
    while (gemini_now() < end) {
        size_t count = server_workers_if_any(&server, workers);
        for (size_t i = 0; i < count; i++)
            deaths += kill(workers[i], SIGKILL) == 0;
        nap(1);
    }
    size_t places = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    cr_expect_geq(deaths, 2 * places, "%u deaths", deaths);
    cr_expect_leq(deaths, 16 * places, "%u deaths in 4 s", deaths);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

Test(service, a_worker_that_hangs_is_replaced) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    size_t count = server_workers(&server, workers);
    kill(workers[0], SIGSTOP);
    uint64_t deadline = gemini_now() + 40000;
    while (!all_working(count, workers[0]) && gemini_now() < deadline)
        nap(50);
    cr_expect(all_working(count, workers[0]), "a worker that does nothing was not replaced");
}

Test(service, no_worker_outlives_its_supervisor) {
    server_start(&server);
    server_stop(&server, SIGKILL);
    struct gemini_way way = way_to(&server);
    cr_expect_null(gemini_connect(&way), "a worker still serves");
}

/* ---- the log ---- */

Test(service, a_request_is_one_line_in_the_log) {
    server_start(&server);
    char *before = server_log(&server);
    expect_status(&server, "gemini://localhost:PORT/no-such-page.gmi", 51);
    cr_expect(server_logged(&server, "no-such-page.gmi"));
    char *after = server_log(&server);
    const char *line = after + strlen(before), *end_of_line = strchr(line, '\n');
    cr_expect(end_of_line && end_of_line[1] == '\0', "not one line: %s", line);
    cr_expect(strstr(line, "51"), "the status is not in it: %s", line);
    free(before);
    free(after);
}

Test(service, what_visitors_write_is_escaped_in_the_log) {
    struct gemini_way way = way_to(&server);
    server_start(&server);
    ask(&server, "gemini://localhost:PORT/%0Aforged%20line%0d%1b%5b31m%09%7f%00end-1");
    ask(&server, "gemini://localhost:PORT/%c2%85%e2%80%ae%ff%22%5c-end-2");
    ask(&server, "gemini://localhost:PORT/\nforged line\x1b[31m-end-3");
    ask(&server, "gemini://\x1b[31mhost:PORT/end-4");
    ask(&server, "gemini://localhost:PORT/?%0aforged-end-5");
    way.server_name = "\x1b[31mname\nforged";
    ask_by(&way, "gemini://localhost:PORT/end-6");
    cr_assert(server_logged(&server, "end-6"));
    char *log = server_log(&server);
    for (const char *byte = log; *byte; byte++)
        cr_assert(*byte == '\n' || (*byte >= 0x20 && *byte < 0x7f), "byte %02x in the log: %.60s", (unsigned char)*byte,
                  byte);
    for (const char *line = log; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        cr_expect_neq(strncmp(line, "forged", 6), 0, "a visitor wrote a line: %s", line);
    free(log);
}

/* An invalid request may contain anything, such as a password that was pasted by mistake. */
Test(service, of_what_is_no_request_the_log_says_nothing) {
    static const char *const requests[] = {"gemini://user:pasted@localhost:PORT/pasted", "pasted", "gemini:///pasted",
                                           "gemini://localhost:PORT/pasted#pasted", "https://localhost/pasted"};
    server_start(&server);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int status = ask(&server, requests[i])->status;
        cr_expect(status == 59 || status == 53, "'%s' is answered with %d", requests[i], status);
    }
    expect_status(&server, "gemini://localhost:PORT/a-request", 51);
    cr_assert(server_logged(&server, "path=\"/a-request\""));
    char *log = server_log(&server);
    cr_expect_null(strstr(log, "pasted"), "%s", log);
    cr_expect_not_null(strstr(log, " milliseconds="), "%s", log);
    free(log);
}

Test(service, the_log_is_private_by_default) {
    struct gemini_way way = way_to(&server);
    way.source = "127.0.0.77";
    server_start(&server);
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/page-of-77?my%20secret")->status, 51);
    cr_expect(server_logged(&server, "page-of-77"));
    char *log = server_log(&server);
    cr_expect_null(strstr(log, "127.0.0.77"), "an address is in the log: %s", log);
    cr_expect_null(strstr(log, "secret"), "what a visitor typed in is in the log: %s", log);
    free(log);
}
