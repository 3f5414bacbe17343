/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The key process: it alone has private keys. Also what happens to clients if it is stopped or killed. */

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/server.h"

#define KEY_SIZE 32
#define PART 12 /* bytes: so many equal bytes are no coincidence */

static struct server server;

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(secrets, .init = begin, .fini = end, .timeout = 120);

/* ---- memory ---- */

/* The forms in which a private key may be in memory. */
struct secret {
    unsigned char forward[KEY_SIZE], backward[KEY_SIZE]; /* the number, in big- and little-endian order */
    char text[PART + 1];                                 /* from its PEM file */
};

static void read_secret(struct secret *secret) {
    char path[160], line[128];
    snprintf(path, sizeof path, "%s/state/localhost.pem", server.folder);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    BIGNUM *number = NULL;
    cr_assert(key && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number));
    cr_assert_eq(BN_bn2binpad(number, secret->forward, KEY_SIZE), KEY_SIZE);
    BN_bn2lebinpad(number, secret->backward, KEY_SIZE);
    BN_clear_free(number);
    EVP_PKEY_free(key);
    rewind(file);
    bool within = false;
    secret->text[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        /* The number itself is in the first line, after a beginning that all such keys have in common. */
        if (within && !secret->text[0])
            snprintf(secret->text, sizeof secret->text, "%.12s", line + 48);
        within = strstr(line, "BEGIN") && strstr(line, "PRIVATE KEY");
    }
    fclose(file);
    cr_assert_eq(strlen(secret->text), PART, "the key's file is of another form than this test knows");
}

static bool holds_part(const char *memory, size_t size, const unsigned char *key) {
    for (size_t part = 0; part + PART <= KEY_SIZE; part += 4) {
        if (memmem(memory, size, key + part, PART))
            return true;
    }
    return false;
}

/* Searches all memory that the process can read. */
static bool holds_secret(pid_t process, const struct secret *secret) {
    char path[64], line[512];
    bool found = false;
    size_t regions = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof path, "/proc/%d/mem", (int)process);
    FILE *memory = fopen(path, "r");
    cr_assert(maps && memory, "the memory of process %d cannot be read", (int)process);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[0] != 'r' || strstr(line, "[v"))
            continue;
        char *bytes = malloc(to - from);
        ssize_t size = bytes ? pread(fileno(memory), bytes, to - from, (off_t)from) : -1;
        if (size > 0) {
            regions++;
            found |= holds_part(bytes, (size_t)size, secret->forward) ||
                     holds_part(bytes, (size_t)size, secret->backward) ||
                     memmem(bytes, (size_t)size, secret->text, PART);
        }
        free(bytes);
    }
    fclose(maps);
    fclose(memory);
    cr_assert_gt(regions, 3, "the memory of process %d was not read", (int)process);
    return found;
}

static void expect_kept(const struct secret *secret) {
    pid_t workers[WORKERS_MAX];
    size_t count = server_workers(&server, workers);
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++)
        cr_expect_not(holds_secret(workers[i], secret), "a worker holds a part of the private key");
    cr_expect_not(holds_secret(server.process, secret), "the supervisor holds a part of the private key");
    cr_expect(holds_secret(server_keys(&server), secret), "not even the key process holds it: this test sees nothing");
}

Test(secrets, only_the_key_process_holds_a_private_key) {
    struct secret secret;
    if (geteuid() != 0)
        cr_skip_test("only root may look into these processes");
    server_start(&server);
    read_secret(&secret);
    expect_kept(&secret);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 20; i++)
            expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        expect_kept(&secret);
    }
    /* Also checks workers that were started later. */
    pid_t workers[WORKERS_MAX];
    server_workers(&server, workers);
    kill(workers[0], SIGKILL);
    usleep(300000);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    expect_kept(&secret);
}

/* ---- what happens to the key process ---- */

static struct gemini_client *shake_hands_within(unsigned milliseconds) {
    static struct gemini_way way;
    way = way_to(&server);
    way.patience = milliseconds;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    gemini_shake_hands(client);
    return client;
}

static void expect_page_by(struct gemini_client *client) {
    struct gemini_reply reply = {0};
    const char *line = with_port("gemini://localhost:PORT/\r\n", server.port);
    cr_expect(gemini_send(client, line, strlen(line)));
    cr_expect_eq(gemini_receive(client, &reply, 0), GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(reply.status, 20);
    gemini_reply_end(&reply);
    gemini_end(client);
}

Test(secrets, while_it_is_stopped_open_connections_go_on) {
    server_start(&server);
    struct gemini_client *open = shake_hands_within(20000);
    cr_assert_eq(open->progress, GEMINI_OPEN);
    kill(server_keys(&server), SIGSTOP);
    struct gemini_client *fresh = shake_hands_within(700);
    cr_expect_eq(fresh->progress, GEMINI_TOO_LATE, "a handshake without a signature");
    expect_page_by(open);
    kill(server_keys(&server), SIGCONT);
    fresh->way.patience = 20000;
    fresh->progress = GEMINI_OPEN;
    cr_expect(gemini_shake_hands(fresh), "the handshake that had waited");
    expect_page_by(fresh);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

/* A client that leaves before its signature is made must not get it. */
Test(secrets, visitors_may_leave_while_it_is_stopped) {
    pid_t workers[WORKERS_MAX], after[WORKERS_MAX];
    server_start(&server);
    size_t count = server_workers(&server, workers);
    for (int round = 0; round < 3; round++) {
        kill(server_keys(&server), SIGSTOP);
        for (int i = 0; i < 12; i++) {
            struct gemini_client *client = shake_hands_within(100);
            cr_expect_eq(client->progress, GEMINI_TOO_LATE);
            /* A reset, because after a mere end of the client's data, the server waits for the signature. */
            setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
            gemini_end(client);
        }
        usleep(200000); /* until the server has noticed the resets */
        kill(server_keys(&server), SIGCONT);
        for (int i = 0; i < 12; i++)
            expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    }
    cr_expect_eq(server_workers(&server, after), count);
    cr_expect_arr_eq(workers, after, count * sizeof *workers, "a worker was replaced");
}

Test(secrets, killed_it_is_replaced_and_nobody_is_turned_away) {
    server_start(&server);
    struct gemini_client *open = shake_hands_within(20000);
    for (int round = 0; round < 5; round++) {
        pid_t keys = server_keys(&server);
        cr_assert_gt(keys, 0);
        kill(keys, SIGKILL);
        for (int i = 0; i < 5; i++)
            expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        cr_expect_neq(server_keys(&server), keys);
    }
    expect_page_by(open);
}

/* A key with slow signatures, so that one is in progress whenever the process is killed. */
static void make_slow_identity(void) {
    char command[512];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:4096 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost "
             "-keyout %s/state/key -out %s/state/certificate 2>/dev/null && cd %s/state && umask 077 && "
             "cat certificate key >localhost.pem && rm certificate key",
             server.folder, server.folder, server.folder);
    cr_assert_eq(system(command), 0);
}

static pid_t visit_apart(const char *line) {
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    pid_t process = fork();
    if (process == 0)
        _exit(gemini_fetch(&way, line, strlen(line), &reply) == GEMINI_CLOSE_NOTIFY && reply.status == 20 ? 0 : 1);
    return process;
}

Test(secrets, what_it_was_signing_when_it_was_killed_is_signed) {
    pid_t visitors[12];
    make_slow_identity();
    server_start(&server);
    const char *line = with_port("gemini://localhost:PORT/\r\n", server.port);
    for (int round = 0; round < 3; round++) {
        pid_t keys = server_keys(&server);
        for (size_t i = 0; i < sizeof visitors / sizeof *visitors; i++)
            visitors[i] = visit_apart(line);
        usleep(30000);
        cr_assert_gt(keys, 0);
        kill(keys, SIGKILL);
        for (size_t i = 0; i < sizeof visitors / sizeof *visitors; i++) {
            int status = -1;
            waitpid(visitors[i], &status, 0);
            cr_expect_eq(status, 0, "visitor %zu of round %d was not served", i, round);
        }
    }
}

/* Returns the kB of existing memory that other processes can write to as well. */
static size_t shared_memory_of(pid_t process) {
    char path[64], line[512], access[8] = "";
    size_t sum = 0, size;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*x-%*x %7s ", access) != 1 && access[3] == 's' && sscanf(line, "Size: %zu", &size) == 1)
            sum += size;
    }
    fclose(file);
    return sum;
}

/* It is started at another time than the first one, when the supervisor and the workers already share memory. */
Test(secrets, another_key_process_shares_no_memory_with_workers_either) {
    pid_t workers[WORKERS_MAX];
    server_start(&server);
    cr_assert_gt(server_workers(&server, workers), 0);
    cr_expect_gt(shared_memory_of(workers[0]), 0);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(shared_memory_of(server_keys(&server)), 0);
        kill(server_keys(&server), SIGKILL);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    }
    cr_expect_eq(shared_memory_of(server_keys(&server)), 0);
}

/* Whatever the tests made the server do, no role made a system call that is not on its list. */
Test(secrets, no_role_needs_a_call_that_it_has_not) {
    server_put_text(&server, "localhost/list/.directory-listing-ok", "");
    server_put_text(&server, "localhost/.meta", "gone: 52 Gone\n");
    server_start(&server);
    for (int round = 0; round < 3; round++) {
        expect_status(&server, "gemini://localhost:PORT/list/", 20);
        expect_status(&server, "gemini://localhost:PORT/gone", 52);
        expect_status(&server, "gemini://localhost:PORT/none", 51);
        kill(server.process, SIGHUP);
        cr_expect_not_null(server_told(&server, "READY=1", 10000));
        kill(server_keys(&server), SIGKILL);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    }
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    char *log = server_log(&server);
    cr_expect_null(strstr(log, "forbidden"), "%s", log);
    free(log);
}

static unsigned user_of(pid_t process) {
    char path[64], line[256];
    unsigned user = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "Uid: %u", &user) != 1)
        ;
    fclose(file);
    return user;
}

Test(secrets, workers_do_without_the_rights_of_root) {
    pid_t workers[WORKERS_MAX];
    if (geteuid() != 0)
        cr_skip_test("only root has them");
    server_start(&server);
    size_t count = server_workers(&server, workers);
    for (size_t i = 0; i < count; i++)
        cr_expect_neq(user_of(workers[i]), 0);
    cr_expect_eq(user_of(server_keys(&server)), 0, "state folder is root's");
    server_stop(&server, SIGKILL);
    struct gemini_way way = way_to(&server);
    cr_expect_null(gemini_connect(&way), "a worker was left behind");
}

static void expect_own_certificate(const char *name) {
    struct gemini_way way = way_to(&server);
    way.server_name = name;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client), "%s", name);
    X509 *certificate = SSL_get0_peer_certificate(client->session);
    cr_expect_eq(X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL), 1,
                 "%s is shown the certificate of another", name);
    gemini_end(client);
}

/* A late response to a reload that was given up must not be taken for the response to the next one. */
Test(secrets, a_reload_while_it_is_stopped_changes_nothing) {
    server.watchdog = 3000000;
    server_start(&server);
    kill(server_keys(&server), SIGSTOP);
    server_put_text(&server, "second.example/index.gmi", "# Second\n");
    server_forget_told(&server);
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "RELOADING=1", 5000));
    for (int round = 0; round < 6; round++)
        cr_expect_not_null(server_told(&server, "WATCHDOG=1", 3000), "the watchdog would end it");
    cr_expect_not_null(server_told(&server, "STATUS=Not reloaded", 20000));
    cr_expect(server_logged(&server, "the key process does not answer"));

    kill(server_keys(&server), SIGCONT);
    server_put_text(&server, "third.example/index.gmi", "# Third\n");
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "STATUS=Serving 3 capsules", 20000));
    expect_own_certificate("localhost");
    expect_own_certificate("second.example");
    expect_own_certificate("third.example");
}
