/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: decoys FOLDER PUBLIC-ADDRESS
 *
 * Sets up the targets of the attempts: files in FOLDER (created if needed), listeners on 127.0.0.1, ::1 and this IPv4
 * address, which must be this host's own, local sockets, a terminal, IPC objects, and a victim, which is a process with
 * the token in its memory. Then writes where these are to FOLDER/surroundings (attempt.h), which shows that it is
 * ready. It listens, and writes a line to FOLDER/heard for everything that anybody does to it, so that an observer
 * outside can judge: "WHAT" or "WHAT: what was sent". On SIGTERM, it removes the IPC objects and ends the victim, but
 * leaves FOLDER.
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "decoys.h"
#include "protocol/signing.h"

#define VICTIM_DESCRIPTOR 9
#define KEY_SIZE 16

static char token[TOKEN_SIZE];
static unsigned char key[KEY_SIZE];
static FILE *surroundings, *heard;

/* ---- the victim ---- */

static pid_t start_victim(const char *folder) {
    char path[4096], line[64] = "";
    int said[2];
    if (pipe(said) < 0)
        err(EX_OSERR, "pipe");
    pid_t victim = fork();
    if (victim < 0)
        err(EX_OSERR, "fork");
    if (victim == 0) {
        snprintf(path, sizeof path, "%s/heard", folder);
        setenv("BREACH_DECOY", token, 1);
        dup2(said[1], STDOUT_FILENO);
        /* This file has no name, so only the descriptor gives access to it. */
        int file = memfd_create("decoy", 0);
        if (file < 0 || dup2(file, VICTIM_DESCRIPTOR) < 0 || dprintf(VICTIM_DESCRIPTOR, "%s\n", token) < 0)
            err(EX_OSERR, "the victim's file");
        if (chdir(folder) < 0 || chdir("host") < 0)
            err(EX_OSERR, "%s/host", folder);
        execl("/proc/self/exe", "victim", "--victim", path, token, (char *)NULL);
        err(EX_OSERR, "the victim");
    }
    close(said[1]);
    if (read(said[0], line, sizeof line - 1) <= 0)
        errx(EX_OSERR, "the victim did not start");
    close(said[0]);
    fprintf(surroundings, "victim_pid=%d\nvictim_address=%svictim_descriptor=%d\n", victim, line, VICTIM_DESCRIPTOR);
    return victim;
}

/* ---- files ---- */

/* Adds the path to the surroundings if there is a key for it. */
static void make_file(const char *folder, const char *name, mode_t mode, const char *surroundings_key) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    if (!file || fprintf(file, "%s\n", token) < 0 || fclose(file) != 0 || chmod(path, mode) < 0)
        err(EX_CANTCREAT, "%s", path);
    if (surroundings_key)
        fprintf(surroundings, "%s=%s\n", surroundings_key, path);
}

static void make_folder(const char *folder, const char *name, mode_t mode, const char *surroundings_key) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        err(EX_CANTCREAT, "%s", path);
    if (surroundings_key)
        fprintf(surroundings, "%s=%s\n", surroundings_key, path);
}

static void make_files(const char *folder) {
    char path[4096];
    make_folder(folder, "host", 0755, "host_folder");
    make_file(folder, "host/file", 0644, "host_file");
    make_file(folder, "host/secret", 0600, "host_secret");
    make_folder(folder, "state", 0700, NULL);
    make_file(folder, "state/other", 0600, "other_service_state");
    make_folder(folder, "empty", 0755, "mount_point");
    make_folder(folder, "keys", 0700, NULL);
    snprintf(path, sizeof path, "%s/keys/private", folder);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, key, sizeof key) != sizeof key || close(file) < 0)
        err(EX_CANTCREAT, "%s", path);
    fprintf(surroundings, "key_file=%s\nkey_mark=", path);
    for (size_t i = 0; i < sizeof key; i++)
        fprintf(surroundings, "%02x", key[i] ^ 0xff);
    fprintf(surroundings, "\n");
}

/* ---- listeners ---- */

enum kind { STREAM, DATAGRAMS, DATAGRAMS_ANSWERED, KEYS };

static struct listener {
    int descriptor;
    enum kind kind;
    const char *name;
} listeners[16];
static size_t listener_count;

static void add_listener(int descriptor, enum kind kind, const char *name) {
    listeners[listener_count++] = (struct listener){descriptor, kind, name};
}

/* port: 0 for any free port. Returns the port. */
static int listen_internet(int family, const char *address, int port, int type, enum kind kind, const char *name) {
    struct sockaddr_storage place = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *four = (struct sockaddr_in *)&place;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&place;
    socklen_t size = family == AF_INET ? sizeof *four : sizeof *six;
    four->sin_port = htons((uint16_t)port); /* it is at the same offset for IPv6 */
    if (inet_pton(family, address, family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr) != 1)
        errx(EX_USAGE, "%s is no address", address);
    int descriptor = socket(family, type | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) < 0 ||
        bind(descriptor, (struct sockaddr *)&place, size) < 0 || (type == SOCK_STREAM && listen(descriptor, 16) < 0) ||
        getsockname(descriptor, (struct sockaddr *)&place, &size) < 0)
        err(EX_OSERR, "%s", name);
    add_listener(descriptor, kind, name);
    return ntohs(four->sin_port);
}

static void listen_local(const char *path, bool is_abstract, int type, enum kind kind, const char *name) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    snprintf(place.sun_path + is_abstract, sizeof place.sun_path - 1, "%s", path);
    int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (!is_abstract)
        unlink(path);
    if (descriptor < 0 ||
        bind(descriptor, (struct sockaddr *)&place, (socklen_t)(sizeof(sa_family_t) + 1 + strlen(path))) < 0 ||
        (type != SOCK_DGRAM && listen(descriptor, 16) < 0) || (!is_abstract && chmod(path, 0666) < 0))
        err(EX_OSERR, "%s", name);
    add_listener(descriptor, kind, name);
    fprintf(surroundings, "%s=%s\n", name, path);
}

static void make_listeners(const char *folder, const char *public_address) {
    char path[4096];
    int port = listen_internet(AF_INET, "127.0.0.1", 0, SOCK_STREAM, STREAM, "tcp_loopback");
    listen_internet(AF_INET6, "::1", port, SOCK_STREAM, STREAM, "tcp6_loopback");
    fprintf(surroundings, "tcp_loopback_port=%d\n", port);
    fprintf(surroundings, "tcp_public_address=%s\ntcp_public_port=%d\n", public_address,
            listen_internet(AF_INET, public_address, 0, SOCK_STREAM, STREAM, "tcp_public"));
    fprintf(surroundings, "udp_port=%d\n",
            listen_internet(AF_INET, "127.0.0.1", 0, SOCK_DGRAM, DATAGRAMS_ANSWERED, "udp"));
    fprintf(surroundings, "bind_port=%d\n", port < 60000 ? port + 1000 : port - 1000);
    snprintf(path, sizeof path, "breach-%s", token);
    listen_local(path, true, SOCK_STREAM, STREAM, "abstract_socket");
    snprintf(path, sizeof path, "%s/unix", folder);
    listen_local(path, false, SOCK_STREAM, STREAM, "unix_socket");
    snprintf(path, sizeof path, "%s/bus", folder);
    listen_local(path, false, SOCK_STREAM, STREAM, "dbus_socket");
    snprintf(path, sizeof path, "%s/journal", folder);
    listen_local(path, false, SOCK_DGRAM, DATAGRAMS, "journal_socket");
    snprintf(path, sizeof path, "%s/signer", folder);
    listen_local(path, false, SOCK_SEQPACKET, KEYS, "keys_socket");
    fprintf(surroundings, "other_key_name=%064d\n", 7); /* any name would do, because it signs with all keys */
}

static void hear(const char *what, const char *text, ssize_t size) {
    fprintf(heard, "%s", what);
    if (size > 0)
        fprintf(heard, ": %.*s", (int)strcspn(text, "\n"), text);
    fprintf(heard, "\n");
    fflush(heard);
}

/*
 * A deliberately bad key process: it signs anything for anybody, without limits, and gives the key to anybody who asks.
 * It has one child per connection. An empty message looks the same as the end of the connection.
 */
static void sign_anything(int connection) {
    union {
        struct signing_question question;
        char bytes[4096];
    } message;
    ssize_t got;
    if (fork() != 0)
        return;
    while ((got = recv(connection, &message, sizeof message - 1, 0)) >= 0) {
        struct signing_answer answer = {0x32616773u, SIGNING_DONE, 0, SIGNING_SIGNATURE_MAX, 0, {0}};
        if (got >= (ssize_t)sizeof message.question)
            answer.request_id = message.question.request_id;
        memcpy(answer.signature, key, sizeof key);
        memcpy(answer.signature + sizeof key, token, sizeof token);
        if (send(connection, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

static void answer(const struct listener *listener) {
    char text[256] = "";
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    if (listener->kind == DATAGRAMS || listener->kind == DATAGRAMS_ANSWERED) {
        ssize_t got = recvfrom(listener->descriptor, text, sizeof text - 1, 0, (struct sockaddr *)&from, &size);
        hear(listener->name, text, got);
        if (listener->kind == DATAGRAMS_ANSWERED)
            sendto(listener->descriptor, token, strlen(token), 0, (struct sockaddr *)&from, size);
        return;
    }
    int connection = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    if (listener->kind == KEYS) {
        sign_anything(connection);
    } else {
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 200000}, sizeof(struct timeval));
        hear(listener->name, text, recv(connection, text, sizeof text - 1, 0));
    }
    close(connection);
}

/* ---- terminal and IPC ---- */

static int shared_memory = -1, message_queue = -1, semaphore = -1;
static char queue_name[64];

static void make_objects(void) {
    key_t number = (key_t)strtoul(token, NULL, 16) & 0x7fffffff;
    number = number == 0 ? 1 : number;
    shared_memory = shmget(number, 4096, IPC_CREAT | IPC_EXCL | 0666);
    message_queue = msgget(number, IPC_CREAT | IPC_EXCL | 0666);
    semaphore = semget(number, 1, IPC_CREAT | IPC_EXCL | 0666);
    struct {
        long type;
        char text[TOKEN_SIZE];
    } message = {1, ""};
    strcpy(message.text, token);
    char *memory = shared_memory < 0 ? MAP_FAILED : shmat(shared_memory, NULL, 0);
    if (memory == MAP_FAILED || message_queue < 0 || semaphore < 0 ||
        msgsnd(message_queue, &message, sizeof message.text, 0) < 0)
        err(EX_OSERR, "System V objects");
    strcpy(memory, token);
    fprintf(surroundings, "shared_memory=%d\nmessage_queue=%d\nsemaphore=%d\n", number, number, number);
    snprintf(queue_name, sizeof queue_name, "/breach-%s", token);
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t queue = mq_open(queue_name, O_CREAT | O_RDWR | O_CLOEXEC, 0666, &attributes);
    if (queue < 0 || mq_send(queue, token, strlen(token), 0) < 0)
        err(EX_OSERR, "the POSIX message queue");
    fprintf(surroundings, "posix_queue=%s\n", queue_name + 1);
}

static void remove_objects(void) {
    shmctl(shared_memory, IPC_RMID, NULL);
    msgctl(message_queue, IPC_RMID, NULL);
    semctl(semaphore, 0, IPC_RMID);
    if (queue_name[0])
        mq_unlink(queue_name);
}

/* Makes a terminal whose other end another process holds. */
static int make_terminal(void) {
    char name[64];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0 || ptsname_r(terminal, name, sizeof name) != 0)
        err(EX_OSERR, "a terminal");
    chmod(name, 0622); /* the default of mesg(1) */
    fprintf(surroundings, "terminal=%s\n", name);
    return open(name, O_RDWR | O_NOCTTY | O_CLOEXEC); /* or the end of an attempt would hang it up */
}

/* ---- main ---- */

static volatile sig_atomic_t told_to_stop;

static void stop(int signal) {
    (void)signal;
    told_to_stop = 1;
}

static void make_secrets(void) {
    unsigned char random[16];
    if (getentropy(random, sizeof random) < 0 || getentropy(key, sizeof key) < 0)
        err(EX_OSERR, "chance");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
}

static void serve(void) {
    struct pollfd polled[16];
    for (size_t i = 0; i < listener_count; i++)
        polled[i] = (struct pollfd){listeners[i].descriptor, POLLIN, 0};
    while (!told_to_stop) {
        if (poll(polled, listener_count, 500) <= 0)
            continue;
        for (size_t i = 0; i < listener_count; i++) {
            if (polled[i].revents)
                answer(&listeners[i]);
        }
    }
}

int main(int count, char **arguments) {
    char path[4096], ready[4096];
    if (count == 4 && !strcmp(arguments[1], "--victim"))
        return be_victim(arguments[2]);
    if (count != 3)
        errx(EX_USAGE, "usage: decoys FOLDER PUBLIC-ADDRESS");
    const char *folder = arguments[1];
    umask(0);
    make_secrets();
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        err(EX_CANTCREAT, "%s", folder);
    snprintf(path, sizeof path, "%s/heard", folder);
    heard = fopen(path, "ae");
    snprintf(path, sizeof path, "%s/surroundings.new", folder);
    surroundings = fopen(path, "we");
    if (!heard || !surroundings)
        err(EX_CANTCREAT, "%s", folder);
    fprintf(surroundings, "decoy_token=%s\n", token);
    tell_lacking(surroundings);
    make_files(folder);
    fflush(surroundings);
    signal(SIGCHLD, SIG_DFL);
    pid_t victim = start_victim(folder);
    atexit(remove_objects);
    make_listeners(folder, arguments[2]);
    make_objects();
    int terminal = make_terminal();
    snprintf(ready, sizeof ready, "%s/surroundings", folder);
    if (fclose(surroundings) != 0 || chmod(path, 0644) < 0 || rename(path, ready) < 0)
        err(EX_CANTCREAT, "%s", ready);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    serve();
    close(terminal);
    kill(victim, SIGKILL);
    return 0;
}
