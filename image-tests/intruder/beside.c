/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watcher.h"

#define ALL_PROTOCOLS 0x0003 /* ETH_P_ALL */
#define PROTOCOL_FOUR 0x0800
#define PROTOCOL_SIX 0x86dd
#define OUTGOING 4 /* PACKET_OUTGOING */
#define SHELL_PORT 22

struct link_address { /* struct sockaddr_ll: the kernel's headers are not on musl's search path */
    unsigned short family, protocol;
    int interface;
    unsigned short hardware;
    unsigned char packet_type, size, address[8];
};

/* What the child processes report. */
static struct told {
    _Atomic uint64_t visits[2], failed;
    _Atomic uint64_t packets_foreign;
    char packet[256];
} *told;

static pid_t children[4];
static size_t child_count;
static FILE *log_pipe;
static char heard_path[4096];
static off_t heard_size;
static unsigned service_port;

static bool start(void (*run)(void)) {
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run();
        _exit(0);
    }
    if (child > 0)
        children[child_count++] = child;
    return child > 0;
}

/* ---- the test's own clients ---- */

static bool visit(unsigned family) {
    char command[512], answer[16] = "";
    snprintf(command, sizeof command,
             "printf 'gemini://localhost:%u/\\r\\n' | timeout 20 openssl s_client -connect '%s:%u' -bind '%s:0' "
             "-servername localhost "
             "-quiet -ign_eof 2>/dev/null",
             service_port, family == 0 ? SERVED_FOUR : "[" SERVED_SIX "]", service_port,
             family == 0 ? HONEST_FOUR : "[" HONEST_SIX "]");
    FILE *pipe = popen(command, "re");
    if (!pipe)
        return false;
    bool good = fgets(answer, sizeof answer, pipe) && strncmp(answer, "20 ", 3) == 0;
    pclose(pipe);
    return good;
}

static void go_on_visiting(void) {
    for (unsigned turn = 0;; turn++) {
        if (visit(turn % 2))
            told->visits[turn % 2]++;
        else
            told->failed++;
        rest(50);
    }
}

uint64_t visits_made(unsigned family) {
    return told->visits[family];
}

uint64_t visits_failed(void) {
    return told->failed;
}

/* ---- packets ---- */

struct packet {
    int family, protocol; /* of the IP header */
    const uint8_t *data;  /* after that header */
    size_t size;
    char from[64], to[64];
};

static bool parse(const uint8_t *bytes, size_t size, unsigned protocol, struct packet *packet) {
    if (protocol == PROTOCOL_FOUR && size >= 20 && size >= (size_t)(bytes[0] & 15) * 4) {
        size_t header = (size_t)(bytes[0] & 15) * 4;
        inet_ntop(AF_INET, bytes + 12, packet->from, sizeof packet->from);
        inet_ntop(AF_INET, bytes + 16, packet->to, sizeof packet->to);
        packet->family = AF_INET;
        packet->protocol = bytes[9];
        packet->data = bytes + header;
        packet->size = size - header;
        return true;
    }
    if (protocol == PROTOCOL_SIX && size >= 40) {
        inet_ntop(AF_INET6, bytes + 8, packet->from, sizeof packet->from);
        inet_ntop(AF_INET6, bytes + 24, packet->to, sizeof packet->to);
        packet->family = AF_INET6;
        packet->protocol = bytes[6];
        packet->data = bytes + 40;
        packet->size = size - 40;
        return true;
    }
    return false;
}

/*
 * Was this packet sent without a request from outside? Normal packets are those of the test's own clients and the
 * responses to them and, in a virtual machine, those of the shell that started the test, and the kernel's neighbour
 * discovery.
 */
static bool is_foreign(const struct packet *packet) {
    if (packet->protocol != IPPROTO_TCP)
        return packet->protocol != IPPROTO_ICMP && packet->protocol != IPPROTO_ICMPV6 &&
               packet->protocol != IPPROTO_IGMP && packet->protocol != IPPROTO_HOPOPTS;
    if (packet->size < 20)
        return true;
    unsigned from = (unsigned)packet->data[0] << 8 | packet->data[1],
             to = (unsigned)packet->data[2] << 8 | packet->data[3];
    bool begins = (packet->data[13] & 0x12) == 0x02; /* SYN without ACK */
    bool is_honest = !strcmp(packet->from, HONEST_FOUR) || !strcmp(packet->from, HONEST_SIX);
    if (from == SHELL_PORT || to == SHELL_PORT)
        return false;
    if (begins)
        return !(is_honest && to == service_port);
    return from != service_port && to != service_port;
}

/* A secret in a packet was read by the intruder. */
static bool holds_secret(const struct packet *packet) {
    size_t size;
    for (size_t i = 0; secret_text(i, &size); i++) {
        if (memmem(packet->data, packet->size, secret_text(i, &size), size))
            return true;
    }
    return false;
}

static void listen_to_packets(void) {
    static uint8_t bytes[65536];
    int all = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ALL_PROTOCOLS));
    if (all < 0) {
        perror("watcher: AF_PACKET");
        _exit(1);
    }
    setsockopt(all, SOL_SOCKET, SO_RCVBUFFORCE, &(int){16 << 20}, sizeof(int));
    for (;;) {
        struct link_address from = {0};
        struct packet packet;
        ssize_t size = recvfrom(all, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &(socklen_t){sizeof from});
        if (size <= 0 || from.packet_type != OUTGOING || !parse(bytes, (size_t)size, ntohs(from.protocol), &packet))
            continue;
        bool is_secret = holds_secret(&packet);
        if (!is_secret && !is_foreign(&packet))
            continue;
        bool is_tcp = packet.protocol == IPPROTO_TCP && packet.size >= 20;
        if (told->packets_foreign == 0)
            snprintf(told->packet, sizeof told->packet, "%s from %s port %u to %s port %u, protocol %d, %zu bytes",
                     is_secret ? "a packet with a secret" : "a packet that nobody had asked for", packet.from,
                     is_tcp ? (unsigned)packet.data[0] << 8 | packet.data[1] : 0, packet.to,
                     is_tcp ? (unsigned)packet.data[2] << 8 | packet.data[3] : 0, packet.protocol, packet.size);
        told->packets_foreign++;
    }
}

static void look_at_decoys(void) {
    char line[512];
    FILE *file = fopen(heard_path, "re");
    if (!file || fseeko(file, heard_size, SEEK_SET) < 0)
        broken(PROMISE_NETWORK, "what the decoys heard cannot be read: %s", strerror(errno));
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        broken(PROMISE_NETWORK, "a decoy was reached: %.60s", line);
    }
    if (file) {
        heard_size = ftello(file);
        fclose(file);
    }
}

void look_at_network(void) {
    if (told->packets_foreign > 0) {
        escaped(ESCAPE_CONNECTION);
        broken(PROMISE_NETWORK, "%s", told->packet);
        told->packets_foreign = 0;
    }
    look_at_decoys();
    if (waitpid(children[1], NULL, WNOHANG) != 0)
        broken(PROMISE_NETWORK, "packets cannot be watched");
}

/* ---- the log ---- */

#define TOLD_MAX 4096

static pid_t ended[TOLD_MAX];
static size_t ended_count;

/* Reads the supervisor's lines: "worker (process 123) ended ...". */
bool log_tells_of(pid_t number) {
    static char text[65536];
    static size_t size;
    ssize_t got;
    while ((got = read(fileno(log_pipe), text + size, sizeof text - size)) > 0) {
        size += (size_t)got;
        char *line = text, *end;
        while ((end = memchr(line, '\n', size - (size_t)(line - text)))) {
            int told_number;
            *end = '\0';
            if (sscanf(line, "worker (process %d) ended", &told_number) == 1)
                ended[ended_count++ % TOLD_MAX] = told_number;
            line = end + 1;
        }
        size -= (size_t)(line - text);
        memmove(text, line, size);
        if (size == sizeof text) /* an endless line is not from the supervisor */
            size = 0;
    }
    for (size_t i = 0; i < ended_count && i < TOLD_MAX; i++) {
        if (ended[i] == number)
            return true;
    }
    return false;
}

/* ---- start and stop ---- */

bool beside_start(const char *folder, unsigned port) {
    service_port = port;
    snprintf(heard_path, sizeof heard_path, "%s/work/heard", folder);
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    log_pipe = popen("exec journalctl --quiet --follow --lines=0 --output=cat --unit=vitrine.service", "re");
    if (told == MAP_FAILED || !log_pipe || fcntl(fileno(log_pipe), F_SETFL, O_NONBLOCK) < 0)
        return perror("watcher"), false;
    FILE *heard = fopen(heard_path, "re");
    if (heard) {
        fseeko(heard, 0, SEEK_END);
        heard_size = ftello(heard);
        fclose(heard);
    }
    return start(go_on_visiting) && start(listen_to_packets);
}

void beside_stop(void) {
    for (size_t i = 0; i < child_count; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
}
