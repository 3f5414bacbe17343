/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Puts load on a Gemini server and measures its cost: many visits at once, each of which is checked completely. Prints
 * one line of key=value; exits with status 1 if a visit failed.
 */

#include <arpa/inet.h>
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "processes.h"
#include "visits.h"

static const char usage[] =
    "Usage: load --port=NUMBER [OPTION]...\n"
    "Visits a Gemini server many times and says what came of it.\n"
    "\n"
    "  --address=ADDRESS   of the server, IPv4 or IPv6 (127.0.0.1)\n"
    "  --host=NAME         whose page is asked for (localhost)\n"
    "  --path=PATH         the page (/)\n"
    "  --requests=NUMBER   visits that are measured (1000)\n"
    "  --failures=NUMBER   visits that may fail (0)\n"
    "  --at-once=NUMBER    of them at the same time (8)\n"
    "  --handshakes        ends a visit after the handshake, without a request\n"
    "  --resumed           resumes the session of an earlier visit where the server lets it\n"
    "  --nagle             without TCP_NODELAY, as most clients are\n"
    "  --tls=VERSION       1.2 or 1.3, and no other (1.3)\n"
    "  --group=GROUP       for the key exchange, and no other: X25519, X25519MLKEM768, P-256... (X25519)\n"
    "  --identity=FILE     certificate, chain and key (PEM) that the client shows\n"
    "  --size=BYTES        that a body has to have\n"
    "  --sha256=HEX        that a body has to have\n"
    "  --open=NUMBER       silent connections that are opened before, and stay open\n"
    "  --midst             these stop in the midst of their handshake, not after it\n"
    "  --process=PID       of the server: its processor time and memory, with that of its children\n";

struct orders {
    const char *address, *port, *host, *path, *tls, *group, *identity, *sha256;
    size_t open, failures;
    bool midst;
    pid_t process;
    struct visits visits;
};

static void refuse(const char *what, const char *value) {
    fprintf(stderr, "load: %s: %s; see load --help\n", what, value);
    exit(EX_USAGE);
}

static size_t number(const char *name, const char *text) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || value > 1ul << 40)
        refuse(name, "is no number that makes sense");
    return value;
}

/* ---- options ---- */

static void read_options(struct orders *orders, int count, char **arguments) {
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},  {"port", required_argument, NULL, 'p'},
        {"host", required_argument, NULL, 'h'},     {"path", required_argument, NULL, 'f'},
        {"requests", required_argument, NULL, 'n'}, {"failures", required_argument, NULL, 'F'},
        {"at-once", required_argument, NULL, 'c'},  {"handshakes", no_argument, NULL, 'H'},
        {"resumed", no_argument, NULL, 'r'},        {"nagle", no_argument, NULL, 'N'},
        {"tls", required_argument, NULL, 't'},      {"group", required_argument, NULL, 'g'},
        {"identity", required_argument, NULL, 'i'}, {"size", required_argument, NULL, 's'},
        {"sha256", required_argument, NULL, 'd'},   {"open", required_argument, NULL, 'o'},
        {"midst", no_argument, NULL, 'm'},          {"process", required_argument, NULL, 'P'},
        {"help", no_argument, NULL, '?'},           {0},
    };
    struct visits *visits = &orders->visits;
    for (int letter; (letter = getopt_long(count, arguments, "", options, NULL)) >= 0;) {
        switch (letter) {
        case 'a':
            orders->address = optarg;
            break;
        case 'p':
            orders->port = optarg;
            break;
        case 'h':
            orders->host = optarg;
            break;
        case 'f':
            orders->path = optarg;
            break;
        case 'n':
            visits->count = number("--requests", optarg);
            break;
        case 'F':
            orders->failures = number("--failures", optarg);
            break;
        case 'c':
            visits->at_once = number("--at-once", optarg);
            break;
        case 'H':
            visits->goal = GOAL_HANDSHAKE;
            break;
        case 'r':
            visits->resumed = true;
            break;
        case 'N':
            visits->nagle = true;
            break;
        case 't':
            orders->tls = optarg;
            break;
        case 'g':
            orders->group = optarg;
            break;
        case 'i':
            orders->identity = optarg;
            break;
        case 's':
            visits->size = number("--size", optarg);
            visits->has_size = true;
            break;
        case 'd':
            orders->sha256 = optarg;
            break;
        case 'o':
            orders->open = number("--open", optarg);
            break;
        case 'm':
            orders->midst = true;
            break;
        case 'P':
            orders->process = (pid_t)number("--process", optarg);
            break;
        default:
            fputs(usage, stderr);
            exit(EX_USAGE);
        }
    }
    if (!orders->port || optind < count)
        refuse("arguments", "a port is needed, and nothing but options");
    if (visits->at_once == 0)
        refuse("--at-once", "has to be 1 or more");
}

static void read_digest(struct visits *visits, const char *text) {
    if (strlen(text) != (size_t)2 * VISITS_DIGEST)
        refuse("--sha256", "has to have 64 digits");
    for (size_t i = 0; i < VISITS_DIGEST; i++) {
        if (sscanf(text + 2 * i, "%2hhx", &visits->digest[i]) != 1)
            refuse("--sha256", "has to be hexadecimal");
    }
    visits->has_digest = true;
}

static void read_address(struct orders *orders) {
    struct visits *visits = &orders->visits;
    uint16_t port = htons((uint16_t)number("--port", orders->port));
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = port};
    if (inet_pton(AF_INET, orders->address, &four.sin_addr) == 1) {
        memcpy(&visits->address, &four, visits->address_size = sizeof four);
    } else if (inet_pton(AF_INET6, orders->address, &six.sin6_addr) == 1) {
        memcpy(&visits->address, &six, visits->address_size = sizeof six);
    } else {
        refuse("--address", "is neither IPv4 nor IPv6");
    }
}

static SSL_CTX *open_context(const struct orders *orders) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int version = strcmp(orders->tls, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (version == TLS1_3_VERSION && strcmp(orders->tls, "1.3") != 0)
        refuse("--tls", "has to be 1.2 or 1.3");
    if (!context || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 || SSL_CTX_set1_groups_list(context, orders->group) != 1)
        refuse("--group", "OpenSSL has no group of that name");
    SSL_CTX_set_security_level(context, 0); /* accepts certificates as weak as the server does */
    if (orders->identity && (SSL_CTX_use_certificate_chain_file(context, orders->identity) != 1 ||
                             SSL_CTX_use_PrivateKey_file(context, orders->identity, SSL_FILETYPE_PEM) != 1))
        refuse("--identity", "is no file with a certificate and its key");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

/* ---- results ---- */

static int compare(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static uint32_t at_share(const struct visits *visits, double share) {
    return visits->done > 0 ? visits->latencies[(size_t)(share * (double)(visits->done - 1) + 0.5)] : 0;
}

static void report_visits(struct visits *visits, uint64_t nanoseconds) {
    qsort(visits->latencies, visits->done, sizeof *visits->latencies, compare);
    printf("requests=%zu errors=%zu seconds=%.3f rate=%.1f bytes=%" PRIu64 " p50_us=%u p99_us=%u", visits->done,
           visits->errors, visits->seconds, (double)visits->done / visits->seconds, visits->bytes,
           at_share(visits, 0.5), at_share(visits, 0.99));
    if (visits->resumed)
        printf(" resumed=%zu", visits->reused);
    if (nanoseconds > 0)
        printf(" cpu_us=%.1f", (double)nanoseconds / 1000 / (double)(visits->done > 0 ? visits->done : 1));
}

/* Opens the silent connections and prints how much memory they use. */
static bool open_silent(const struct orders *orders, struct visits *silent) {
    struct processes processes;
    uint64_t before = 0, after = 0;
    if (orders->process > 0 && processes_find(orders->process, &processes))
        before = processes_memory(&processes);
    *silent = orders->visits;
    silent->count = orders->open;
    silent->goal = orders->midst ? GOAL_MIDST : GOAL_STAY;
    silent->resumed = false;
    bool well = visits_make(silent);
    if (before > 0)
        after = processes_memory(&processes);
    printf("open=%zu errors_open=%zu memory_before=%" PRIu64 " memory=%" PRIu64 " memory_each=%.0f ", silent->done,
           silent->errors, before, after, ((double)after - (double)before) / (double)silent->count);
    return well && silent->errors == 0;
}

/* Makes the visits that are measured. */
static bool visit(const struct orders *orders) {
    struct visits visits = orders->visits, first = orders->visits;
    struct processes processes;
    uint64_t before = 0;
    if (visits.resumed) { /* the visit whose session is resumed is not measured */
        first.count = 1;
        visits_make(&first);
        visits.session = first.session;
        first.session = NULL;
        visits_end(&first);
    }
    if (orders->process > 0 && processes_find(orders->process, &processes))
        before = processes_time(&processes);
    bool well = visits_make(&visits);
    report_visits(&visits, before > 0 ? processes_time(&processes) - before : 0);
    if (visits.first_error)
        fprintf(stderr, "load: %zu visits went wrong; the first: %s\n", visits.errors, visits.first_error);
    well = well && visits.errors <= orders->failures;
    visits_end(&visits);
    return well;
}

int main(int count, char **arguments) {
    static struct orders orders = {.address = "127.0.0.1",
                                   .host = "localhost",
                                   .path = "/",
                                   .tls = "1.3",
                                   .group = "X25519",
                                   .visits = {.count = 1000, .at_once = 8}};
    char request[1200];
    struct visits silent = {0};
    struct rlimit limit;
    bool well = true;
    read_options(&orders, count, arguments);
    read_address(&orders);
    if (orders.sha256)
        read_digest(&orders.visits, orders.sha256);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    snprintf(request, sizeof request, strcmp(orders.port, "1965") == 0 ? "gemini://%s%s%s\r\n" : "gemini://%s:%s%s\r\n",
             orders.host, strcmp(orders.port, "1965") == 0 ? "" : orders.port, orders.path);
    orders.visits.host = orders.host;
    orders.visits.request = request;
    orders.visits.context = open_context(&orders);
    if (orders.open > 0)
        well = open_silent(&orders, &silent);
    if (orders.visits.count > 0)
        well = visit(&orders) && well;
    if (orders.open > 0) {
        size_t lost = visits_lost(&silent);
        printf(" lost=%zu", lost);
        well = well && lost == 0;
    }
    printf("\n");
    visits_end(&silent);
    SSL_CTX_free(orders.visits.context);
    return well ? 0 : 1;
}
