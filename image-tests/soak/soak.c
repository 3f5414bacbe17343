/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: soak PROGRAM [REQUESTS [SECONDS]]
 *
 * Tests the server's endurance with so many requests, but for at most so many seconds (0: unlimited). Prints the
 * progress every ten seconds, and ends with lines that begin with PASS or FAIL.
 */

#include "soak.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/client.h"

#define LOOKS_MAX 200000   /* one per second */
#define GROWTH_MAX 110     /* percent of the first tenth that the last tenth may have */
#define ROOM 256           /* kB of growth that are always allowed */
#define GENERATION 48      /* descriptors of earlier workers, which stay while a client still receives a response */
#define LOG_MAX (64 << 20) /* bytes; then the log is truncated */

static struct soak *soak;
static pid_t server, visitors[VISITORS], keeper;
static struct figures looks[LOOKS_MAX];
static size_t look_count;
static volatile sig_atomic_t interrupted;

/* ---- beginning and end ---- */

static void interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static uint16_t free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = bind(descriptor, (struct sockaddr *)&address, size) == 0 &&
                 getsockname(descriptor, (struct sockaddr *)&address, &size) == 0;
    close(descriptor);
    return bound ? ntohs(address.sin_port) : 0;
}

static int open_log(int flags) {
    char path[128];
    snprintf(path, sizeof path, "%s/log", soak->folder);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
}

static void become_server(const char *program) {
    char address[32], content[96], state[96];
    snprintf(address, sizeof address, "127.0.0.1:%u", soak->port);
    snprintf(content, sizeof content, "%s/content", soak->folder);
    snprintf(state, sizeof state, "%s/state", soak->folder);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(open_log(0), STDERR_FILENO);
    execl(program, program, "serve", "--listen", address, "--content", content, "--state", state, (char *)NULL);
    perror(program);
    _exit(EX_UNAVAILABLE);
}

static bool serves(void) {
    const struct gemini_way way = {.port = soak->port, .server_name = "localhost", .patience = 1000};
    struct gemini_client *client = gemini_connect(&way);
    bool open = client && gemini_shake_hands(client);
    gemini_end(client);
    return open;
}

static bool start(const char *program) {
    soak = mmap(NULL, sizeof *soak, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (soak == MAP_FAILED)
        return false;
    snprintf(soak->folder, sizeof soak->folder, "/tmp/vitrine-soak-XXXXXX");
    if (!mkdtemp(soak->folder) || chmod(soak->folder, 0755) < 0 || !capsule_make(soak))
        return false;
    soak->port = free_port();
    server = fork();
    if (server == 0)
        become_server(program);
    for (int i = 0; i < 200; i++) {
        if (serves())
            return true;
        usleep(50000);
    }
    fprintf(stderr, "%s does not serve; it wrote to %s/log\n", program, soak->folder);
    return false;
}

static pid_t send_out(unsigned number) {
    pid_t parent = getpid(), process = fork();
    if (process != 0)
        return process;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    if (number < VISITORS)
        visitor_ask(soak, number);
    else
        capsule_change(soak);
    _exit(0);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

/* Ends everything. Returns whether the server stopped correctly. */
static bool clean_up(void) {
    int status = -1;
    if (!soak || soak == MAP_FAILED)
        return false;
    soak->over = true;
    for (size_t i = 0; i < VISITORS; i++) {
        if (visitors[i] > 0)
            waitpid(visitors[i], NULL, 0);
    }
    if (keeper > 0)
        waitpid(keeper, NULL, 0);
    if (server > 0) {
        kill(server, SIGTERM);
        waitpid(server, &status, 0);
    }
    nftw(soak->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status == 0;
}

/* ---- during the run ---- */

static void kill_one(void) {
    bool key_process = random() % 3 == 0;
    if (!processes_kill(server, key_process))
        return;
    if (key_process) {
        soak->key_kills++;
        return;
    }
    soak->kill_times[soak->kills % KILLS_MAX] = gemini_now();
    soak->kills++;
    soak->worker_kills++;
}

static void look(void) {
    struct figures figures;
    if (look_count < LOOKS_MAX && processes_look(server, &figures))
        looks[look_count++] = figures;
    struct stat status;
    int log = open_log(0);
    if (fstat(log, &status) == 0 && status.st_size > LOG_MAX && ftruncate(log, 0) < 0)
        perror("log");
    close(log);
}

static void tell(const char *what, uint64_t seconds, uint64_t rate) {
    const struct figures *last = &looks[look_count ? look_count - 1 : 0];
    printf("%s: %llu s, %llu requests, %llu/s, %llu MB of bodies, %llu wrong, %llu refused, %llu given up by visitors, "
           "%llu inside killed workers; %llu workers and %llu key processes killed, pages %u, large files %u; "
           "%zu kB, %zu descriptors\n",
           what, (unsigned long long)seconds, (unsigned long long)soak->done, (unsigned long long)rate,
           (unsigned long long)(soak->bytes >> 20), (unsigned long long)soak->wrong, (unsigned long long)soak->refused,
           (unsigned long long)soak->left, (unsigned long long)soak->excepted, (unsigned long long)soak->worker_kills,
           (unsigned long long)soak->key_kills, soak->surely[BODY_PAGE], soak->surely[BODY_LARGE], last->memory,
           last->descriptors);
    fflush(stdout);
}

static bool visitors_are_there(void) {
    bool any = false;
    for (size_t i = 0; i < VISITORS; i++) {
        if (visitors[i] > 0 && waitpid(visitors[i], NULL, WNOHANG) != 0)
            visitors[i] = 0;
        any |= visitors[i] > 0;
    }
    return any;
}

static void watch(uint64_t seconds) {
    uint64_t begun = gemini_now(), next_kill = begun + 1000, next_look = begun + 1000, next_word = begun + 10000;
    uint64_t told = 0, now = begun;
    while (visitors_are_there() && waitpid(server, NULL, WNOHANG) == 0) {
        now = gemini_now();
        soak->over = soak->over || interrupted || (seconds > 0 && now >= begun + seconds * 1000);
        if (now >= next_kill) {
            kill_one();
            next_kill = now + 1000 + (uint64_t)random() % 3000;
        }
        if (now >= next_look) {
            look();
            next_look += 1000;
        }
        if (now >= next_word) {
            tell("soak", (now - begun) / 1000, (soak->done - told) / 10);
            told = soak->done;
            next_word += 10000;
        }
        usleep(20000);
    }
    tell("in all", (now - begun) / 1000, soak->done * 1000 / (now > begun ? now - begun : 1));
}

/* ---- results ---- */

static bool judge(bool right, const char *what) {
    printf("%s %s\n", right ? "PASS" : "FAIL", what);
    return right;
}

static size_t mean(size_t from, size_t count, bool memory) {
    size_t sum = 0;
    for (size_t i = from; i < from + count; i++)
        sum += memory ? looks[i].memory : looks[i].descriptors;
    return count > 0 ? sum / count : 0;
}

/* Compares the last tenth with the first. The first few values do not count, because the server is still starting. */
static bool is_flat(const char *what, bool memory, size_t room) {
    size_t skipped = look_count / 10 < 5 ? look_count / 10 : 5, count = (look_count - skipped + 9) / 10;
    size_t first = mean(skipped, count, memory), last = mean(look_count - count, count, memory);
    printf("%s: %zu in the first tenth, %zu in the last\n", what, first, last);
    return look_count > skipped && last <= first * GROWTH_MAX / 100 + room;
}

int main(int count, char **arguments) {
    bool right = false;
    if (count < 2 || count > 4) {
        fprintf(stderr, "usage: soak PROGRAM [REQUESTS [SECONDS]]\n");
        return EX_USAGE;
    }
    srandom((unsigned)getpid());
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    signal(SIGPIPE, SIG_IGN);
    if (start(arguments[1])) {
        soak->wanted = count > 2 ? strtoull(arguments[2], NULL, 10) : 1000000;
        keeper = send_out(VISITORS);
        for (unsigned i = 0; i < VISITORS; i++)
            visitors[i] = send_out(i);
        watch(count > 3 ? strtoull(arguments[3], NULL, 10) : 0);
        right = judge(soak->done > 0 && soak->wrong == 0, "every response was correct and complete");
        right &= judge(soak->refused == 0, "no connection was refused");
        right &= judge(soak->excepted <= soak->worker_kills * VISITORS, "only connections of killed workers were lost");
        right &= judge(is_flat("memory in kB", true, ROOM), "memory stayed flat");
        right &= judge(is_flat("descriptors", false, GENERATION), "descriptors stayed flat");
    }
    bool stopped = clean_up();
    right &= judge(stopped, "the server stopped correctly");
    return right ? EX_OK : 1;
}
