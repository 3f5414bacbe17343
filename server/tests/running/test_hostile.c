/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Attacks by hostile clients, with an honest client at the same time. The honest client must always be answered within
 * twice its usual time plus 100 ms. Memory must stay below the limit in vitrine(8), silent clients must be gone after
 * the deadlines, and the server must report what it closed.
 *
 * Time in which a process was ready to run but got no processor does not count, because this machine may be busy.
 */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/attack.h"
#include "lib/server.h"

#define LARGE (50 * 1024 * 1024)
#define USUAL_COUNT 41
#define TIMES_MAX 4000
#define NEVER UINT64_MAX
#define NOT_COUNTED (UINT64_MAX - 1)
#define WAITED_MAX                                                                                                     \
    100000 /* microseconds without a processor; a visit that failed after more than that does not count */

#define OPEN_MAX 650
#define MUCH 25             /* clients, more than may have a large send buffer */
#define USUAL_BUFFER 131072 /* SO_SNDBUF of the others, as the kernel counts it */

#define SHORT "handshake-timeout = 1s\nrequest-timeout = 1s\nreply-timeout = 1s\n"
#define DEADLINES 6000 /* the sum of these; what was read ahead counts for four times the last one */

/* All hostile clients connect from this machine, which a remote server would count as one client. */
#define ROOM "max-connections = 4096\nmax-connections-from-loopback = 4096\n"

#define PAGE_FILE "gemini://localhost:PORT/page.gmi\r\n"
#define FEW_FILE "gemini://localhost:PORT/few.gmi\r\n" /* of 7 kB */
#define LINKS "gemini://localhost:PORT/links/\r\n"
#define LARGE_FILE "gemini://localhost:PORT/large.bin\r\n"

struct hostility {
    const char *name;
    const char *settings; /* NULL: short deadlines */
    const char *request;  /* NULL: a page */
    const char *identity; /* the type of key, for openssl; NULL: the usual one */
    const char *shed;     /* what STATUS= and the log must report; NULL: nothing */
    size_t open_max;      /* connections that the settings allow; 0: the usual number */
    bool only_long;       /* runs only in make attacks */
    struct attack attack;
};

/* Clients that stay, and clients that connect one after the other. */
#define STAY .crowd = 500, .most = 3000, .duration = 2500
#define COME .crowd = 100, .most = 20000, .duration = 2500

static const struct hostility hostilities[] = {
    {.name = "ten thousand connections that say nothing",
     .settings = "max-connections = 12000\nmax-connections-from-loopback = 12000\nhandshake-timeout = 4s\n",
     .open_max = 12000,
     .shed = "late",
     .attack = {.crowd = 10000, .most = 10000, .duration = 3500}},
    {.name = "ten thousand connections, and room for 4096",
     .settings = ROOM "handshake-timeout = 6s\n",
     .open_max = 4096, /* enough time for that many to connect on a busy machine */
     .shed = "displaced",
     .attack = {.crowd = 10000, .most = 20000, .duration = 2500}},
    {.name = "half of a greeting, then nothing", .shed = "late", .attack = {STAY, .point = POINT_GREETING}},
    {.name = "a handshake, then nothing", .shed = "late", .attack = {STAY, .point = POINT_SHAKEN}},
    {.name = "nothing more from any point on", .shed = "late", .attack = {STAY, .point = POINT_EACH}},
    {.name = "a greeting byte by byte", .shed = "late", .attack = {STAY, .deed = DEED_DRIBBLE}},
    {.name = "a request byte by byte", .shed = "late", .attack = {STAY, .point = POINT_SHAKEN, .deed = DEED_DRIBBLE}},
    {.name = "a reply read byte by byte",
     .shed = "late",
     .request = LARGE_FILE,
     .attack = {STAY, .point = POINT_READING, .deed = DEED_SIP}},
    {.name = "a reply not read", .shed = "late", .request = LARGE_FILE, .attack = {STAY, .point = POINT_ASKED}},
    {.name = "handshakes, one after the other", .attack = {COME, .point = POINT_SHAKEN, .deed = DEED_LEAVE}},
    {.name = "handshakes from many addresses, more than there is room for",
     .settings = "request-timeout = 4s\nmax-connections = 256\n",
     .open_max = 256,
     .shed = "displaced",
     .attack = {.crowd = 2000, .most = 20000, .duration = 2500, .point = POINT_SHAKEN, .proxied_addresses = 5000}},
    {.name = "handshakes from one address",
     .shed = "refused",
     .attack = {COME, .point = POINT_SHAKEN, .proxied_addresses = 1}},
    {.name = "handshakes from one address, more in a minute than it may have",
     .settings = SHORT "max-handshakes-per-minute = 50\n",
     .shed = "throttled",
     .attack = {COME, .point = POINT_SHAKEN, .deed = DEED_LEAVE, .proxied_addresses = 1}},
    {.name = "replies read byte by byte from sixteen prefixes, more than there is room for",
     .settings = "handshake-timeout = 1s\nmax-connections = 256\n",
     .open_max = 256,
     .shed = "displaced",
     .request = LARGE_FILE,
     .attack = {.crowd = 500,
                .most = 5000,
                .duration = 8000,
                .point = POINT_READING,
                .deed = DEED_SIP,
                .proxied_addresses = 64,
                .proxied_prefixes = 16}},
    {.name = "garbage at once", .shed = "foreign", .attack = {COME, .deed = DEED_GARBAGE}},
    {.name = "garbage at any point", .shed = "failed", .attack = {COME, .point = POINT_EACH, .deed = DEED_GARBAGE}},
    {.name = "new keys without end, and no answer read",
     .attack = {.crowd = 20, .most = 2000, .duration = 2500, .point = POINT_SHAKEN, .deed = DEED_REKEY}},
    {.name = "an alert at any point", .shed = "failed", .attack = {COME, .point = POINT_EACH, .deed = DEED_ALERT}},
    {.name = "a reset at any point", .request = LARGE_FILE, .attack = {COME, .point = POINT_EACH, .deed = DEED_RESET}},
    {.name = "a half-close at any point",
     .request = LARGE_FILE,
     .attack = {COME, .point = POINT_EACH, .deed = DEED_HALF_CLOSE}},
    {.name = "pages of which a part is taken, from 500 networks",
     .settings = "",
     .only_long = true,
     .request = FEW_FILE,
     .attack = {.crowd = 900, .point = POINT_ASKED, .proxied_addresses = 4000, .proxied_prefixes = 500}},
    {.name = "a greeting, then nothing, from 20000 networks",
     .settings = "",
     .only_long = true,
     .attack = {.crowd = 900, .point = POINT_GREETED, .proxied_addresses = 20000, .proxied_prefixes = 20000}},
    {.name = "handshakes that are given up, from 20000 networks",
     .settings = "",
     .only_long = true,
     .attack = {.crowd = 900,
                .point = POINT_GREETED,
                .deed = DEED_HANG_UP,
                .proxied_addresses = 20000,
                .proxied_prefixes = 20000}},
    {.name = "handshakes that are given up, from this machine, more than it has places",
     .settings = "",
     .only_long = true,
     .attack = {.crowd = 400, .point = POINT_GREETED, .deed = DEED_HANG_UP}},
    {.name = "requests for a folder of 60000 dangling links",
     .settings = "",
     .only_long = true,
     .request = LINKS,
     .attack = {.crowd = 50, .point = POINT_READING, .deed = DEED_LEAVE}},
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static struct server server;
static pid_t attackers;
static struct attack_course *course;

/* ---- the server ---- */

static void raise_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 16384)
        cr_skip_test("no more than %lu descriptors may be open here (RLIMIT_NOFILE)", (unsigned long)limit.rlim_max);
}

static void make_identity(const char *kind) {
    char command[512];
    snprintf(
        command, sizeof command,
        "cd %s/state && umask 077 && openssl req -x509 -newkey %s -nodes -subj /CN=localhost -addext "
        "subjectAltName=DNS:localhost -keyout key -out localhost.pem 2>/dev/null && cat key >>localhost.pem && rm key",
        server.folder, kind);
    cr_assert_eq(system(command), 0);
}

static uint16_t start_with(const struct hostility *hostility) {
    if (hostility->identity)
        make_identity(hostility->identity);
    server_put_settings_proxied(&server, "log-addresses = full\n%s",
                                hostility->settings ? hostility->settings : SHORT ROOM);
    server_start(&server);
    return hostility->attack.proxied_addresses > 0 ? server.proxied_port : server.port;
}

static void begin(void) {
    static char few[7000];
    raise_descriptors();
    server_prepare(&server);
    memset(few, 'b', sizeof few);
    server_put(&server, "localhost/few.gmi", few, sizeof few);
    server_put_text(&server, "localhost/page.gmi", "# Page\n");
    char *bytes = calloc(1, LARGE);
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, LARGE);
    free(bytes);
}

static void end(void) {
    if (attackers > 0)
        attack_end(attackers, course);
    server_end(&server);
}

TestSuite(hostile, .init = begin, .fini = end, .timeout = 300);

static size_t memory_of_all(void) {
    pid_t workers[WORKERS_MAX];
    size_t count = server_workers(&server, workers),
           sum = process_memory(server.process) + process_memory(server_keys(&server));
    for (size_t i = 0; i < count; i++)
        sum += process_memory(workers[i]);
    return sum;
}

/* Returns the number before a word in STATUS=. */
static unsigned long long counted(const char *status, const char *word) {
    char sought[32];
    snprintf(sought, sizeof sought, " %s", word);
    const char *at = strstr(status, sought);
    cr_assert_not_null(at, "%s does not tell of %s", status, word);
    while (at > status && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return strtoull(at, NULL, 10);
}

/* ---- the honest client ---- */

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static pid_t watched[WORKERS_MAX];
static size_t watched_count;

/*
 * Microseconds in which a process was ready to run but did not; 0 if the kernel does not report it
 * (proc_pid_schedstat(5)).
 */
static uint64_t waited(pid_t process) {
    char path[64];
    unsigned long long nanoseconds = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)process);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*u %llu", &nanoseconds) != 1)
        nanoseconds = 0;
    if (file)
        fclose(file);
    return nanoseconds / 1000;
}

struct waits {
    uint64_t here, keys, workers[WORKERS_MAX];
};

static void note_waits(struct waits *waits) {
    waits->here = waited(getpid());
    waits->keys = waited(server_keys(&server));
    for (size_t i = 0; i < watched_count; i++)
        waits->workers[i] = waited(watched[i]);
}

/*
 * Returns how long a visit may have waited for a processor: in this process, in the key process, and in the one worker
 * that served it.
 */
static uint64_t waited_since(const struct waits *before) {
    struct waits now;
    uint64_t longest = 0;
    note_waits(&now);
    for (size_t i = 0; i < watched_count; i++) {
        uint64_t worker = now.workers[i] - before->workers[i];
        longest = worker > longest ? worker : longest;
    }
    return now.here - before->here + (now.keys - before->keys) + longest;
}

static uint64_t whole_times[TIMES_MAX]; /* including these waits, for the table of make attacks */
static size_t whole_count;

/*
 * Returns the time of a visit without such waits, or NEVER if there was no response. If there are more clients than
 * connections allowed, a slow client may be closed; a client slower than the deadlines always is. If this client waited
 * that long for a processor, returns NOT_COUNTED.
 */
static uint64_t visit(void) {
    const struct gemini_way way = way_to(&server);
    const char *line = with_port(PAGE_FILE, server.port);
    struct gemini_reply reply = {0};
    struct waits before;
    note_waits(&before);
    uint64_t start = microseconds();
    bool answered = gemini_fetch(&way, line, strlen(line), &reply) == GEMINI_CLOSE_NOTIFY && reply.status == 20;
    uint64_t taken = microseconds() - start, without = waited_since(&before);
    if (answered && whole_count < TIMES_MAX)
        whole_times[whole_count++] = taken;
    gemini_reply_end(&reply);
    if (!answered)
        return without > WAITED_MAX ? NOT_COUNTED : NEVER;
    return taken > without ? taken - without : 0;
}

static int compare(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* Returns the median of the whole times since the last call. */
static uint64_t whole_median(void) {
    qsort(whole_times, whole_count, sizeof *whole_times, compare);
    uint64_t median = whole_count > 0 ? whole_times[whole_count / 2] : 0;
    whole_count = 0;
    return median;
}

static uint64_t usual_time(void) {
    uint64_t times[USUAL_COUNT];
    watched_count = server_workers(&server, watched);
    cr_assert_gt(watched_count, 0);
    for (size_t i = 0; i < USUAL_COUNT;) {
        times[i] = visit();
        cr_assert_neq(times[i], NEVER, "there is no attack yet");
        i += times[i] != NOT_COUNTED;
    }
    qsort(times, USUAL_COUNT, sizeof *times, compare);
    return times[USUAL_COUNT / 2];
}

struct experience {
    uint64_t times[TIMES_MAX]; /* microseconds, sorted at the end */
    size_t count, memory;      /* the maximum memory seen, in kB */
    size_t not_counted, turned_away;
};

static void live_through(struct experience *experience) {
    uint64_t measure = 0;
    do {
        if (experience->count < TIMES_MAX) {
            uint64_t time = visit();
            experience->not_counted += time == NOT_COUNTED;
            experience->turned_away += time == NEVER;
            if (time != NOT_COUNTED)
                experience->times[experience->count++] = time;
        }
        if (gemini_now() >= measure) {
            size_t memory = memory_of_all();
            experience->memory = memory > experience->memory ? memory : experience->memory;
            measure = gemini_now() + 200;
        }
        usleep(2000);
    } while (!course->over);
    qsort(experience->times, experience->count, sizeof *experience->times, compare);
}

/* ---- results ---- */

/* The maximum time for a visit during an attack, in microseconds, if it usually takes `usual`. */
static uint64_t slowest(uint64_t usual) {
    return promised("honest-factor") * usual + promised("honest-extra") * 1000;
}

/* Only if there are more clients than connections allowed may a visit be refused, which counts as late. */
static void expect_served(const struct experience *experience, uint64_t usual, const char *name, bool full_house) {
    cr_assert_gt(experience->count, 0, "%s: this machine was too busy for any visit to count", name);
    cr_expect(full_house || experience->turned_away == 0, "%s: %zu of %zu were turned away", name,
              experience->turned_away, experience->count);
    uint64_t bound = slowest(usual), median = experience->times[experience->count / 2];
    size_t late = 0;
    for (size_t i = experience->count; i-- > 0 && experience->times[i] > bound;)
        late++;
    cr_log_info("%s: usually %.1f ms, now %.1f ms, at most %.1f ms, %zu of %zu too late, %zu not counted; %zu kB", name,
                (double)usual / 1000, (double)median / 1000, (double)experience->times[experience->count - 1] / 1000,
                late, experience->count, experience->not_counted, experience->memory);
    cr_expect_leq(late * 100, experience->count * promised("honest-late"), "%s: %zu of %zu answers came too late", name,
                  late, experience->count);
}

static void expect_little_memory(const struct experience *experience, const struct hostility *hostility) {
    size_t open = hostility->open_max ? hostility->open_max : hostility->settings ? OPEN_MAX : 4096;
    open = open < hostility->attack.crowd ? open : hostility->attack.crowd;
    bool silent = hostility->attack.point == POINT_CONNECTED && hostility->attack.deed == DEED_SILENCE;
    size_t each = promised(silent ? "memory-silent" : hostility->request ? "memory-response" : "memory-handshake");
    cr_expect_leq(experience->memory, promised("memory-all") + open * each, "%s: %zu kB of memory", hostility->name,
                  experience->memory);
}

/* The attackers keep their connections, and no new clients arrive: the server must close all of them. */
static void expect_rid_of_them(const struct hostility *hostility) {
    uint64_t deadline = gemini_now() + 10 * DEADLINES + 20000; /* long, because machines may be busy */
    unsigned long long open;
    const char *status;
    server_forget_told(&server);
    do {
        status = server_told(&server, "STATUS=", 5000);
        cr_assert_not_null(status);
        open = counted(status, "connections open");
    } while (open > 0 && gemini_now() < deadline);
    cr_expect_eq(open, 0, "%s: %llu connections are kept", hostility->name, open);
    if (!hostility->shed)
        return;
    char line[64];
    snprintf(line, sizeof line, "connection end=%s address=", hostility->shed);
    cr_expect_gt(counted(status, hostility->shed), 0, "%s: not counted: %s", hostility->name, status);
    cr_expect(server_logged(&server, line), "%s: not logged", hostility->name);
}

ParameterizedTestParameters(hostile, an_honest_visitor_is_served) {
    static size_t numbers[COUNT_OF(hostilities)], count;
    count = 0;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (!hostilities[i].only_long || attack_seconds() > 0)
            numbers[count++] = i;
    }
    return cr_make_param_array(size_t, numbers, count);
}

/* Makes the attack last longer, with clients that are continuously replaced. */
static void make_long(struct attack *attack) {
    unsigned seconds = attack_seconds();
    if (seconds == 0)
        return;
    attack->duration = seconds * 1000;
    if (attack->most != attack->crowd) /* otherwise they must stay */
        attack->most = SIZE_MAX;
}

static void make_links(void) {
    char command[512];
    snprintf(command, sizeof command,
             "mkdir -p %s/content/localhost/links && cd %s/content/localhost/links && touch .directory-listing-ok && "
             "seq 60000 | xargs -n 2000 sh -c 'for i; do ln -s nowhere $i.gmi; done' sh",
             server.folder, server.folder);
    cr_assert_eq(system(command), 0);
}

/* Checks the promises for the whole duration of an attack, which make attacks sets. */
static void expect_promise(const struct attack_effect *effect, bool full_house) {
    size_t allowed = full_house ? effect->visits * promised("honest-late") / 100 : 0;
    attack_tell(effect);
    cr_expect_leq(effect->failed, allowed, "%s: %zu of %zu visits failed", effect->attack, effect->failed,
                  effect->visits);
    cr_expect_leq(effect->beside, slowest(effect->quiet), "%s: a visit takes %.1f ms, and %.1f without", effect->attack,
                  (double)effect->beside / 1000, (double)effect->quiet / 1000);
}

static void expect_served_beside(const struct hostility *hostility) {
    static struct experience experience;
    struct attack attack = hostility->attack;
    struct attack_effect effect = {.attack = hostility->name};
    char request[128];
    make_long(&attack);
    if (hostility->request && strcmp(hostility->request, LINKS) == 0)
        make_links();
    attack.port = start_with(hostility);
    snprintf(request, sizeof request, "%s",
             with_port(hostility->request ? hostility->request : PAGE_FILE, server.port));
    attack.request = request;
    uint64_t usual = usual_time();
    effect.memory_before = memory_of_all();
    effect.whole_quiet = whole_median();
    attackers = attack_begin(&attack, &course);
    live_through(&experience);
    cr_log_info("%zu begun, %zu came to the point, %zu were ended, %zu could not begin", course->begun, course->arrived,
                course->ended, course->refused);
    expect_served(&experience, usual, hostility->name, hostility->shed && strcmp(hostility->shed, "displaced") == 0);
    expect_little_memory(&experience, hostility);
    cr_expect_gt(course->arrived, 0, "%s: nobody came so far", hostility->name);
    expect_rid_of_them(hostility);
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    if (attack_seconds() == 0)
        return;
    effect.quiet = usual;
    effect.whole_beside = whole_median();
    effect.beside = experience.times[experience.count / 2];
    effect.visits = experience.count;
    effect.failed = experience.turned_away;
    effect.memory_after = memory_of_all();
    expect_promise(&effect, hostility->shed && strcmp(hostility->shed, "displaced") == 0);
}

ParameterizedTest(const size_t *number, hostile, an_honest_visitor_is_served) {
    expect_served_beside(&hostilities[*number]);
}

/* As many connections as one address may have, all of which request slow signatures and then leave. */
Test(hostile, one_address_does_not_keep_the_key_process_for_itself) {
    static const struct hostility slow = {.name = "slow signatures for those who do not wait",
                                          .settings = SHORT ROOM "max-handshakes-per-minute = 0\n",
                                          .identity = "rsa:4096",
                                          .attack = {.crowd = 32,
                                                     .most = 20000,
                                                     .duration = 6000,
                                                     .point = POINT_GREETED,
                                                     .deed = DEED_HANG_UP,
                                                     .proxied_addresses = 1}};
    expect_served_beside(&slow);
}

/* The same from as many addresses as one network may have connections: the network is served like one client. */
Test(hostile, one_network_does_not_keep_the_key_process_for_itself) {
    static const struct hostility slow = {.name = "slow signatures for many addresses of a network",
                                          .settings = SHORT ROOM "max-handshakes-per-minute = 0\n",
                                          .identity = "rsa:4096",
                                          .attack = {.crowd = 250,
                                                     .most = 20000,
                                                     .duration = 6000,
                                                     .point = POINT_GREETED,
                                                     .deed = DEED_HANG_UP,
                                                     .proxied_addresses = 250,
                                                     .proxied_prefixes = 1}};
    expect_served_beside(&slow);
}

/* The memory in bytes that the kernel uses for the server's connections. wide: those with a larger send buffer. */
struct kept {
    size_t count, wide;
    unsigned long most, sum;
};

static struct kept kernel_memory(void) {
    char command[128], line[1024];
    struct kept kept = {0};
    snprintf(command, sizeof command, "ss -Htmn state established 'sport = :%u'", server.port);
    FILE *output = popen(command, "r");
    cr_assert_not_null(output);
    while (fgets(line, sizeof line, output)) {
        unsigned long received, buffer, sent, forward;
        const char *memory = strstr(line, "skmem:");
        if (!memory ||
            sscanf(memory, "skmem:(r%lu,%*[^,],t%*u,tb%lu,f%lu,w%lu", &received, &buffer, &forward, &sent) != 4)
            continue;
        kept.count++;
        kept.wide += buffer > USUAL_BUFFER;
        kept.sum += received + forward + sent;
        kept.most = received + forward + sent > kept.most ? received + forward + sent : kept.most;
    }
    pclose(output);
    return kept;
}

/* The worker has only one part of a response; the kernel buffers some, which counts as memory of the service. */
Test(hostile, what_is_not_read_does_not_pile_up_in_the_kernel) {
    static const struct hostility unread = {.name = "unread", .settings = "reply-timeout = 10s\n"};
    struct attack attack = {.crowd = 50, .most = 50, .duration = 1000, .point = POINT_ASKED};
    char request[128];
    attack.port = start_with(&unread);
    snprintf(request, sizeof request, "%s", with_port(LARGE_FILE, server.port));
    attack.request = request;
    attackers = attack_begin(&attack, &course);
    uint64_t deadline = gemini_now() + 20000;
    while (!course->over && gemini_now() < deadline)
        usleep(100000);
    struct kept kept = kernel_memory();
    cr_expect_eq(kept.count, attack.crowd);
    cr_expect_gt(kept.most, 16384, "ss(8) tells nothing");
    cr_expect_leq(kept.most, promised("memory-kernel") * 1024, "%lu bytes for one connection", kept.most);
    cr_expect_eq(kept.wide, 0, "%zu who read nothing got a large buffer", kept.wide);
    expect_rid_of_them(&unread);
    /* A closed connection must leave no data in the kernel, which would keep it for minutes. */
    char orphans[256] = "";
    snprintf(request, sizeof request, "ss -Htn state fin-wait-1 'sport = :%u' | wc -l", server.port);
    FILE *output = popen(request, "r");
    cr_assert(output && fgets(orphans, sizeof orphans, output));
    pclose(output);
    cr_expect_eq(atoi(orphans), 0, "%s replies are left to the kernel", orphans);
}

/* Starts a client that reads 3 MB of the large file, and then nothing. */
static struct gemini_client *take_much(void) {
    const char *line = with_port(LARGE_FILE, server.port);
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    way.receive_buffer = 65536;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    cr_assert_eq(gemini_receive(client, &reply, 3 << 20), GEMINI_OPEN);
    gemini_reply_end(&reply);
    return client;
}

/* Returns what the kernel uses once it no longer changes. */
static struct kept kernel_memory_at_rest(void) {
    struct kept kept = kernel_memory(), before;
    do {
        before = kept;
        usleep(500000);
        kept = kernel_memory();
    } while (kept.sum != before.sum);
    return kept;
}

/* Fast clients get a larger send buffer. If many were fast and then stop, only a few have one. */
Test(hostile, who_takes_much_and_then_nothing_gets_no_more_than_there_is) {
    static const struct hostility patient = {.name = "patient", .settings = "reply-timeout = 5min\n"};
    struct gemini_client *clients[MUCH];
    start_with(&patient);
    for (size_t i = 0; i < MUCH; i++)
        clients[i] = take_much();
    struct kept kept = kernel_memory_at_rest();
    cr_expect_eq(kept.count, MUCH);
    cr_expect_eq(kept.wide, promised("wide-connections"), "%zu have a large buffer", kept.wide);
    cr_expect_gt(kept.most, promised("memory-kernel") * 1024, "a larger buffer holds no more than a usual one");
    cr_expect_leq(kept.sum, (MUCH * promised("memory-kernel") + promised("memory-wide")) * 1024, "%lu bytes in all",
                  kept.sum);
    for (size_t i = 0; i < MUCH; i++)
        gemini_end(clients[i]);
    /* Their places are free again. */
    for (uint64_t give_up = gemini_now() + 60000; kernel_memory().count > 0 && gemini_now() < give_up;)
        usleep(100000);
    clients[0] = take_much();
    cr_expect_eq(kernel_memory_at_rest().wide, 1);
    gemini_end(clients[0]);
}

/* A client requests new keys again and again, reads the responses, and never sends a request. */
Test(hostile, new_keys_are_no_request) {
    static const struct hostility usual = {.name = "usual", .settings = SHORT};
    char bytes[4096];
    size_t updates = 0;
    start_with(&usual);
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    for (bool there = true; there && updates < 20000; updates++) {
        SSL_key_update(client->session, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(client->session);
        int size = BIO_read(client->to_peer, bytes, sizeof bytes);
        there = size > 0 && gemini_send_raw(client, bytes, (size_t)size);
        ssize_t got = recv(client->socket, bytes, sizeof bytes, MSG_DONTWAIT);
        there &= got != 0 && (got > 0 || errno == EAGAIN);
        if (got > 0) {
            BIO_write(client->from_peer, bytes, (int)got);
            SSL_read(client->session, bytes, sizeof bytes);
        }
    }
    cr_expect_lt(updates, 2000, "%zu new keys on one connection", updates);
    gemini_end(client);
    cr_expect(server_logged(&server, "connection end=failed address="));
}

/* A new key costs as much as a request, so it counts as one. */
Test(hostile, new_keys_count_in_the_rate) {
    static const struct hostility few = {
        .name = "few", .settings = "max-requests-per-minute = 50\n", .attack = {.proxied_addresses = 1}};
    static const char header[] = "PROXY TCP4 192.0.2.7 192.0.2.200 40000 1965\r\n";
    struct gemini_way way = way_to(&server);
    char bytes[4096];
    way.port = start_with(&few);
    for (int visit = 0; visit < 10; visit++) {
        struct gemini_client *client = gemini_connect(&way);
        cr_assert(client && gemini_send_raw(client, header, sizeof header - 1) && gemini_shake_hands(client));
        bool there = true;
        for (int update = 0; there && update < 10; update++) {
            SSL_key_update(client->session, SSL_KEY_UPDATE_NOT_REQUESTED);
            SSL_do_handshake(client->session);
            int size = BIO_read(client->to_peer, bytes, sizeof bytes);
            there = size > 0 && gemini_send_raw(client, bytes, (size_t)size);
        }
        gemini_end(client);
        usleep(20000);
    }
    cr_expect(server_logged(&server, "connection end=throttled address=192.0.2.7"));
}

/*
 * Clients read part of a page of a few kB and keep their side open. Data that the kernel still holds counts as a
 * connection, so that it is limited; otherwise it would accumulate for two minutes without any limit.
 */
Test(hostile, what_closed_connections_leave_behind_is_bounded) {
    static const struct hostility leaving = {.settings = "max-connections = 64\n",
                                             .attack = {.proxied_addresses = 2000, .proxied_prefixes = 500}};
    struct attack attack = leaving.attack;
    char request[128], command[128], text[64] = "";
    unsigned long left = 0, most = 0;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
        cr_skip_test("no network of its own can be made");
    attack.port = start_with(&leaving);
    attack.crowd = 400;
    attack.most = 5000;
    attack.duration = 6000;
    attack.point = POINT_ASKED;
    snprintf(request, sizeof request, "%s", with_port(FEW_FILE, server.port));
    attack.request = request;
    attackers = attack_begin(&attack, &course);
    snprintf(command, sizeof command, "ss -Htn state fin-wait-1 | grep -c ':%u '", attack.port);
    for (int look = 0; look < 6; look++) {
        FILE *output = popen(command, "r");
        cr_assert(output && fgets(text, sizeof text, output));
        pclose(output);
        left = strtoul(text, NULL, 10);
        most = left > most ? left : most;
        usleep(800000);
    }
    cr_expect_gt(course->arrived, 64);
    cr_expect_gt(most, 0, "nothing was left at all");
    cr_expect_leq(most, 64, "%lu closed connections are left to the kernel", most);
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
}

/*
 * Many clients have completed the handshake and say nothing. They are closed before a client that is still in its
 * handshake.
 */
Test(hostile, whoever_is_about_to_ask_goes_after_those_who_do_not) {
    static const struct hostility room = {.settings = "max-connections = 64\n"};
    struct gemini_client *crowd[100], *newcomers[20];
    struct gemini_reply reply = {0};
    start_with(&room);
    struct gemini_way way = way_to(&server);
    const char *line = with_port(PAGE_FILE, server.port);
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        crowd[i] = gemini_connect(&way);
        cr_assert(crowd[i] && gemini_shake_hands(crowd[i]));
    }
    struct gemini_client *honest = gemini_connect(&way);
    cr_assert_not_null(honest);
    for (size_t i = 0; i < COUNT_OF(newcomers); i++) {
        newcomers[i] = gemini_connect(&way);
        cr_assert_not_null(newcomers[i]);
        usleep(2000); /* so that each connection is accepted before the next one arrives */
    }
    cr_expect(gemini_shake_hands(honest) && gemini_send(honest, line, strlen(line)), "she had to go");
    gemini_receive(honest, &reply, 0);
    cr_expect_eq(reply.status, 20);
    gemini_reply_end(&reply);
    gemini_end(honest);
    for (size_t i = 0; i < COUNT_OF(newcomers); i++)
        gemini_end(newcomers[i]);
    for (size_t i = 0; i < COUNT_OF(crowd); i++)
        gemini_end(crowd[i]);
}

/* Their signatures are made when nobody waits for them any more, and go to nobody. */
Test(hostile, whoever_leaves_while_a_signature_is_made_leaves_nothing_behind) {
    static const struct hostility leaving = {.name = "leaving"};
    struct attack attack = {.crowd = 200, .most = 2000, .duration = 1000, .point = POINT_GREETED, .deed = DEED_HANG_UP};
    pid_t before[WORKERS_MAX], after[WORKERS_MAX];
    attack.port = start_with(&leaving);
    size_t count = server_workers(&server, before);
    pid_t keys = server_keys(&server);
    cr_assert(count > 0 && keys > 0);
    cr_assert_eq(kill(keys, SIGSTOP), 0);
    attackers = attack_begin(&attack, &course);
    while (!course->over)
        usleep(10000);
    cr_expect_gt(course->arrived, attack.crowd, "they came, and left");
    attack_end(attackers, course);
    attackers = 0;
    cr_assert_eq(kill(keys, SIGCONT), 0);
    for (int i = 0; i < 5; i++)
        expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    cr_expect_eq(server_workers(&server, after), count);
    cr_expect_arr_eq(before, after, count * sizeof *before, "the workers are the same");
    cr_expect_eq(server_keys(&server), keys);
    expect_rid_of_them(&leaving);
}
