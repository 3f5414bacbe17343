/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "attempt.h"
#include "content/capsule.h"
#include "filter.h"
#include "worker/worker.h"

#define SURROUNDINGS "/etc/vitrine/surroundings"

#define SLOTS 32
#define SLOT_SIZE 1024
#define PLAY_SIZE (256u << 10) /* calls about memory may do anything here */
#define PAGE 4096u
#define LEARNED 24
#define SUBSET 6
#define DESCRIPTORS_AT_START 48
#define TRIES 16      /* attempts to find arguments that the filter allows */
#define LOOT_EACH 512 /* bytes kept of what one call read */

enum kind {
    NOTHING, /* there is no such argument */
    ZERO,
    FEW,
    DESCRIPTOR,
    FOLDER,
    SPACE, /* memory to be written */
    BYTES, /* memory to be read */
    SIZE,
    OFFSET,
    VECTOR,
    PATH,
    OPEN_FLAGS,
    MODE,
    AT_FLAGS,
    COMMAND,
    COMMAND_ARGUMENT,
    REQUEST,
    FAMILY,
    TYPE,
    PROTOCOL,
    ADDRESS,
    ADDRESS_SIZE,
    ADDRESS_SIZE_AT,
    ACCEPT_FLAGS,
    MESSAGE_FLAGS,
    MESSAGE,
    MESSAGES,
    HOW,
    LEVEL,
    OPTION,
    EPOLL_OPERATION,
    EPOLL_EVENT,
    MILLISECONDS,
    TIME,
    CLOCK,
    FUTEX_OPERATION,
    PLACE,
    LENGTH,
    PROTECTION,
    MAP_FLAGS,
    ADVICE,
    PROCESS,
    SIGNAL,
    KIND_COUNT,
};

static const struct known_call {
    int number;
    uint8_t arguments[6];
} known_calls[] = {
#define CALL(name, ...) {SYS_##name, {__VA_ARGS__}},
#include "calls.h"
#undef CALL
};

#define KNOWN_COUNT (sizeof known_calls / sizeof known_calls[0])
#define CANDIDATES_MAX (KNOWN_COUNT + INTRUDER_NUMBERS)

static struct engine {
    struct intruder_arena *arena;
    uint8_t *slots; /* structures made for a call, one after the other */
    uint8_t *play;
    const struct worker_setup *setup;
    struct surroundings surroundings;
    int events;
    bool nonblocking[DESCRIPTORS_AT_START];
    uint64_t random, aside;
    unsigned slot;
    int shared[16]; /* descriptors of shared objects */
    unsigned shared_count;
    int learned[LEARNED]; /* descriptors that calls returned */
    unsigned learned_at;
    int focus;
    uint64_t left_alone; /* descriptors not to be touched, as bits */
    uint64_t address_size;
    uint8_t question[SLOT_SIZE]; /* the worker's own last question to the key process */
    size_t question_size;
    uint64_t bytes_size;                          /* size of the bytes that an argument points to; 0: any */
    struct known_call candidates[CANDIDATES_MAX]; /* calls that the filter allows with some arguments */
    unsigned candidate_count;
    unsigned subset[SUBSET];
} engine;

/* ---- random numbers ---- */

static uint64_t mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15u; /* splitmix64 */
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static uint64_t chance(void) {
    return mix(engine.random++);
}

/* Returns a random number below the bound. */
static unsigned below(unsigned bound) {
    return (unsigned)((chance() >> 32) * bound >> 32);
}

static bool percent(unsigned share) {
    return below(100) < share;
}

#define ANY_OF(list) ((uint64_t)(list)[below(sizeof(list) / sizeof((list)[0]))])

/* Returns none, one or a few of the flags, and sometimes a meaningless bit. */
static uint64_t some_flags(const uint32_t *flags, size_t count) {
    static const unsigned how_many[] = {0, 1, 1, 1, 2, 2, 3, 5};
    uint64_t made = 0;
    for (unsigned i = how_many[below(8)]; i > 0; i--)
        made |= flags[below((unsigned)count)];
    if (percent(2))
        made |= UINT64_C(1) << below(64);
    return made;
}

#define SOME_FLAGS(list) some_flags(list, sizeof(list) / sizeof((list)[0]))

static uint64_t garbage(void) {
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       8,
                                       16,
                                       255,
                                       4095,
                                       4096,
                                       65535,
                                       65536,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       0x7fffffffffffffff,
                                       0x8000000000000000,
                                       UINT64_MAX,
                                       UINT64_MAX - 99 /* AT_FDCWD */};
    if (percent(70))
        return ANY_OF(numbers);
    return chance() >> below(64);
}

/* ---- structures ---- */

static uint8_t *new_slot(void) {
    uint8_t *slot = engine.slots + (size_t)(engine.slot++ % SLOTS) * SLOT_SIZE;
    if (percent(25)) {
        for (size_t i = 0; i < SLOT_SIZE; i += sizeof(uint64_t))
            memcpy(slot + i, &(uint64_t){chance()}, sizeof(uint64_t));
    } else {
        memset(slot, percent(80) ? 0 : (int)below(256), SLOT_SIZE);
    }
    return slot;
}

static bool is_left_alone(int descriptor) {
    return descriptor >= 0 && descriptor < 64 && (engine.left_alone >> descriptor & 1) != 0;
}

static int any_descriptor(void) {
    unsigned which = below(100);
    if (which < 60)
        return engine.focus;
    if (which < 72)
        return engine.shared[below(engine.shared_count)];
    if (which < 86)
        return engine.learned[below(LEARNED)];
    if (which < 98)
        return (int)below(DESCRIPTORS_AT_START);
    return (int)garbage();
}

static int descriptor(void) {
    int chosen = any_descriptor();
    return is_left_alone(chosen) ? -1 : chosen;
}

static uint8_t *space(void) {
    const struct intruder_arena *arena = engine.arena;
    unsigned which = below(100);
    if (which < 90 || !arena->all_shared)
        return new_slot();
    if (which < 98) { /* memory that others read, except this worker's own part, which it may write to */
        uint64_t at = chance() % (arena->all_shared_size - 64) & ~UINT64_C(7);
        uint64_t own = arena->own_shared - arena->all_shared;
        if (at + SLOT_SIZE > own && at < own + arena->own_shared_size)
            at = own + arena->own_shared_size < arena->all_shared_size ? own + arena->own_shared_size : 0;
        return (uint8_t *)(uintptr_t)(arena->all_shared + at);
    }
    return (uint8_t *)(uintptr_t)garbage();
}

/*
 * Returns random bytes, or an almost valid question to the key process. The random numbers drawn do not depend on
 * whether there is a question to copy.
 */
static uint8_t *bytes(void) {
    uint8_t *slot = new_slot();
    bool is_question = percent(30), is_whole = percent(90);
    unsigned changes = below(4);
    uint64_t where = chance(), what = chance();
    engine.bytes_size = 0;
    if (!is_question || engine.question_size == 0)
        return slot;
    memcpy(slot, engine.question, engine.question_size);
    for (unsigned i = 0; i < changes; i++)
        slot[(where >> (16 * i)) % engine.question_size] = (uint8_t)(what >> (8 * i));
    engine.bytes_size = is_whole ? engine.question_size : 0;
    return slot;
}

static struct iovec *vector(void) {
    struct iovec *vector = (void *)new_slot();
    unsigned count = 1 + below(3);
    memset(vector, 0, 8 * sizeof *vector);
    for (unsigned i = 0; i < count; i++)
        vector[i] = (struct iovec){space(), below(SLOT_SIZE)};
    if (percent(2))
        vector[0].iov_len = garbage();
    return vector;
}

static void put_local_path(struct sockaddr_un *address) {
    const struct surroundings *all = &engine.surroundings;
    const char *const paths[] = {all->unix_socket,      all->journal_socket,           all->dbus_socket,
                                 "/run/systemd/notify", "/run/systemd/journal/stdout", "/run/vitrine/keys.sock"};
    const char *path = paths[below(sizeof paths / sizeof paths[0])];
    address->sun_family = AF_UNIX;
    if (path)
        strncpy(address->sun_path + percent(10), path, sizeof address->sun_path - 2);
}

static uint16_t port(void) {
    const struct surroundings *all = &engine.surroundings;
    const long ports[] = {all->tcp_loopback_port, all->tcp_loopback_port, all->tcp_public_port, all->udp_port,
                          all->bind_port};
    return htons((uint16_t)(percent(80) ? ports[below(5)] : engine.setup->listeners[0].port));
}

/* Returns an address of the test's decoys or of this service, and no other. */
static void *address(void) {
    void *slot = new_slot();
    struct sockaddr_in *four = slot;
    struct sockaddr_in6 *six = slot;
    switch (below(8)) {
    case 0:
        put_local_path(slot);
        engine.address_size = sizeof(struct sockaddr_un);
        break;
    case 1:
    case 2:
        *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port(), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        engine.address_size = sizeof *six;
        if (percent(30)) { /* an IPv4-mapped IPv6 address */
            memset(&six->sin6_addr, 0, 16);
            memcpy(six->sin6_addr.s6_addr + 10, "\xff\xff\x7f\0\0\1", 6);
        }
        break;
    case 3:
        four->sin_family = AF_UNSPEC; /* disconnects a socket, if connect(2) accepts it */
        engine.address_size = sizeof *four;
        break;
    case 4:
        four->sin_family = (sa_family_t)below(46);
        engine.address_size = below(128);
        break;
    default:
        *four =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port(), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (percent(40)) /* decoys.c: the public address of the test's own network namespace */
            four->sin_addr.s_addr = htonl(0xcb007105);
        engine.address_size = sizeof *four;
    }
    return slot;
}

static void put_control(struct msghdr *message) {
    uint8_t *slot = new_slot();
    struct cmsghdr *header = (void *)slot;
    memset(slot, 0, 64);
    header->cmsg_level = percent(80) ? SOL_SOCKET : (int)below(300);
    header->cmsg_type = percent(80) ? SCM_RIGHTS : (int)below(64);
    header->cmsg_len = CMSG_LEN(sizeof(int) * (1 + below(3)));
    for (unsigned i = 0; i < 3; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &(int){descriptor()}, sizeof(int));
    message->msg_control = slot;
    message->msg_controllen = percent(90) ? CMSG_SPACE(sizeof(int)) : below(256);
}

static void fill_message(struct msghdr *message) {
    *message = (struct msghdr){.msg_iov = vector(), .msg_iovlen = percent(95) ? 1 + below(3) : below(2000)};
    if (percent(45)) {
        message->msg_name = address();
        message->msg_namelen = (socklen_t)engine.address_size;
    }
    if (percent(35))
        put_control(message);
}

static void *message(void) {
    void *slot = new_slot();
    fill_message(slot);
    return slot;
}

static void *messages(void) {
    struct mmsghdr *list = (void *)new_slot();
    for (size_t i = 0; i < SLOT_SIZE / sizeof *list; i++) {
        memset(&list[i], 0, sizeof list[i]);
        if (i < 2)
            fill_message(&list[i].msg_hdr);
    }
    return list;
}

static void *epoll_event(void) {
    static const uint32_t flags[] = {EPOLLIN,      EPOLLOUT,       EPOLLERR,    EPOLLHUP,   EPOLLET,
                                     EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLRDHUP, EPOLLPRI};
    struct epoll_event *event = (void *)new_slot();
    event->events = (uint32_t)SOME_FLAGS(flags);
    event->data.u64 = percent(50) ? (uintptr_t)&engine.setup->listeners[0] : garbage();
    return event;
}

/* Usually short, so that a call that waits returns soon. */
static void *time_to_wait(void) {
    struct timespec *slot = (void *)new_slot();
    *slot = (struct timespec){0, (long)below(200000)};
    if (percent(1))
        slot->tv_nsec = (long)garbage();
    return slot;
}

static const char *path(void) {
    const struct surroundings *all = &engine.surroundings;
    const char *const paths[] = {"",
                                 ".",
                                 "..",
                                 "/",
                                 "../..",
                                 "localhost",
                                 "localhost/index.gmi",
                                 "localhost/../../../etc/shadow",
                                 "localhost/new",
                                 "localhost/index.gmi/",
                                 "index.gmi",
                                 "/srv/gemini/localhost/index.gmi",
                                 "/etc/passwd",
                                 "/etc/shadow",
                                 "/etc/vitrine/vitrine.conf",
                                 "/usr/bin/vitrine",
                                 "/proc/self/mem",
                                 "/proc/self/maps",
                                 "/proc/self/environ",
                                 "/proc/self/fd/2",
                                 "/proc/self/fd/3",
                                 "/proc/self/root",
                                 "/proc/self/ns/net",
                                 "/proc/1/mem",
                                 "/proc/1/root/etc/shadow",
                                 "/proc/sys/kernel/core_pattern",
                                 "/dev/null",
                                 "/dev/mem",
                                 "/dev/shm/new",
                                 "/dev/mqueue/new",
                                 "/tmp/new",
                                 "/var/tmp/new",
                                 "/var/lib/vitrine/localhost.pem",
                                 "/var/lib/private/vitrine/localhost.pem",
                                 "/run/systemd/notify",
                                 "/sys/fs/cgroup/cgroup.procs",
                                 all->host_file,
                                 all->host_secret,
                                 all->other_service_state,
                                 all->key_files[0],
                                 all->key_files[1],
                                 all->key_files[2]};
    const char *chosen = paths[below(sizeof paths / sizeof paths[0])];
    char *slot = (char *)new_slot();
    if (percent(1))
        return (const char *)(uintptr_t)garbage();
    if (percent(3)) {
        memset(slot, 'a' + (int)below(26), SLOT_SIZE - 1);
        slot[SLOT_SIZE - 1] = '\0';
        return slot;
    }
    strncpy(slot, chosen ? chosen : "/tmp/new", SLOT_SIZE - 1);
    return slot;
}

static uint8_t *place(void) {
    if (percent(4)) /* memory that others read */
        return (uint8_t *)(uintptr_t)(engine.arena->all_shared +
                                      (uint64_t)below((unsigned)(engine.arena->all_shared_size / PAGE)) * PAGE);
    return percent(98) ? engine.play + (size_t)below(PLAY_SIZE / PAGE) * PAGE : (uint8_t *)(uintptr_t)garbage();
}

/* ---- arguments ---- */

static uint64_t flags_of(enum kind kind) {
    static const uint32_t open_flags[] = {O_RDONLY,   O_WRONLY,  O_RDWR,      O_CREAT,  O_TRUNC,  O_APPEND,
                                          O_NONBLOCK, O_CLOEXEC, O_DIRECTORY, O_PATH,   O_EXCL,   O_NOFOLLOW,
                                          O_TMPFILE,  O_DSYNC,   O_ASYNC,     O_DIRECT, O_NOCTTY, O_NOATIME};
    static const uint32_t message_flags[] = {MSG_DONTWAIT, MSG_DONTWAIT, MSG_NOSIGNAL,    MSG_FASTOPEN, MSG_FASTOPEN,
                                             MSG_OOB,      MSG_PEEK,     MSG_DONTROUTE,   MSG_CTRUNC,   MSG_PROXY,
                                             MSG_TRUNC,    MSG_EOR,      MSG_WAITALL,     MSG_FIN,      MSG_SYN,
                                             MSG_CONFIRM,  MSG_RST,      MSG_ERRQUEUE,    MSG_MORE,     MSG_WAITFORONE,
                                             MSG_BATCH,    MSG_ZEROCOPY, MSG_CMSG_CLOEXEC};
    static const uint32_t at_flags[] = {AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR,  AT_SYMLINK_FOLLOW,
                                        AT_NO_AUTOMOUNT,     AT_EMPTY_PATH, AT_EMPTY_PATH};
    static const uint32_t accept_flags[] = {SOCK_NONBLOCK, SOCK_NONBLOCK, SOCK_CLOEXEC};
    static const uint32_t protection[] = {PROT_READ, PROT_READ, PROT_WRITE,     PROT_WRITE,
                                          PROT_EXEC, PROT_NONE, PROT_GROWSDOWN, PROT_GROWSUP};
    static const uint32_t map_flags[] = {
        MAP_SHARED,   MAP_PRIVATE,  MAP_PRIVATE, MAP_FIXED,   MAP_ANONYMOUS, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_LOCKED,
        MAP_POPULATE, MAP_NONBLOCK, MAP_STACK,   MAP_HUGETLB, MAP_NORESERVE, 0x100000 /* MAP_FIXED_NOREPLACE */};
    switch (kind) {
    case OPEN_FLAGS:
        return SOME_FLAGS(open_flags);
    case MESSAGE_FLAGS:
        return SOME_FLAGS(message_flags);
    case AT_FLAGS:
        return SOME_FLAGS(at_flags);
    case ACCEPT_FLAGS:
        return SOME_FLAGS(accept_flags);
    case PROTECTION:
        return SOME_FLAGS(protection);
    default:
        return SOME_FLAGS(map_flags);
    }
}

static uint64_t number_of(enum kind kind) {
    static const int levels[] = {SOL_SOCKET, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6};
    static const int options[] = {
        TCP_QUICKACK, TCP_QUICKACK, TCP_QUICKACK,   TCP_NODELAY,      TCP_FASTOPEN,     TCP_FASTOPEN_CONNECT,
        TCP_REPAIR,   TCP_ULP,      TCP_CONGESTION, TCP_DEFER_ACCEPT, TCP_USER_TIMEOUT, SO_REUSEPORT,
        SO_RCVBUF,    SO_SNDBUF,    SO_LINGER,      SO_BINDTODEVICE,  SO_ATTACH_FILTER, SO_RCVTIMEO};
    static const int requests[] = {0x5411 /* FIONREAD */,  0x5421 /* FIONBIO */,  0x5412 /* TIOCSTI */,
                                   0x8901 /* FIOSETOWN */, 0x5452 /* FIOASYNC */, 0x8910 /* SIOCGIFNAME */};
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, 38 /* AF_ALG */};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW};
    static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, 262 /* IPPROTO_MPTCP */, IPPROTO_ICMP};
    static const int advice[] = {MADV_DONTNEED,
                                 MADV_FREE,
                                 MADV_REMOVE,
                                 MADV_WILLNEED,
                                 MADV_DONTFORK,
                                 MADV_MERGEABLE,
                                 MADV_HUGEPAGE,
                                 MADV_WIPEONFORK,
                                 MADV_COLD,
                                 MADV_PAGEOUT,
                                 100 /* MADV_HWPOISON */};
    static const int waits[] = {0, 0, 1, 2};
    static const int signals[] = {0, SIGTERM, SIGKILL, SIGHUP, SIGCHLD, SIGSTOP, SIGSYS, SIGURG};
    switch (kind) {
    case LEVEL:
        return ANY_OF(levels);
    case OPTION:
        return percent(80) ? ANY_OF(options) : below(80);
    case REQUEST:
        return percent(80) ? ANY_OF(requests) : chance();
    case FAMILY:
        return percent(80) ? ANY_OF(families) : below(46);
    case TYPE:
        return ANY_OF(types);
    case PROTOCOL:
        return ANY_OF(protocols);
    case ADVICE:
        return ANY_OF(advice);
    case MILLISECONDS:
        return percent(99) ? ANY_OF(waits) : UINT64_MAX;
    case SIGNAL:
        return ANY_OF(signals);
    default:
        return garbage();
    }
}

static uint64_t pointer_of(enum kind kind) {
    const struct iovec *made;
    switch (kind) {
    case SPACE:
        return percent(80) ? (uintptr_t)space() : 0;
    case BYTES:
        return (uintptr_t)bytes();
    case VECTOR:
        made = vector();
        return (uintptr_t)made;
    case PATH:
        return (uintptr_t)path();
    case ADDRESS:
        if (percent(50))
            return (uintptr_t)address();
        engine.address_size = 0;
        return 0;
    case ADDRESS_SIZE_AT:
        return percent(90) ? (uintptr_t)memcpy(new_slot(), &(socklen_t){128}, sizeof(socklen_t)) : 0;
    case MESSAGE:
        return (uintptr_t)message();
    case MESSAGES:
        return (uintptr_t)messages();
    case EPOLL_EVENT:
        return (uintptr_t)epoll_event();
    case TIME:
        return (uintptr_t)time_to_wait();
    default:
        return (uintptr_t)place();
    }
}

static uint64_t argument(enum kind kind) {
    if (percent(3))
        return garbage();
    switch (kind) {
    case NOTHING:
    case ZERO:
        return 0;
    case FEW:
        return below(12);
    case DESCRIPTOR:
        return (uint64_t)(int64_t)descriptor();
    case FOLDER:
        return percent(50)   ? (uint64_t)(int64_t)engine.setup->capsules->folder
               : percent(60) ? (uint64_t)AT_FDCWD
                             : (uint64_t)(int64_t)descriptor();
    case SIZE:
        return engine.bytes_size > 0 ? engine.bytes_size : percent(97) ? below(SLOT_SIZE) : garbage();
    case OFFSET:
        return percent(80) ? below(4) * PAGE : garbage();
    case MODE:
        return below(07777);
    case COMMAND: /* F_DUPFD to F_SETSIG, and those from F_SETLEASE on */
        return percent(80) ? below(11) : 1024 + below(20);
    case COMMAND_ARGUMENT:
        return percent(50) ? flags_of(OPEN_FLAGS) : garbage();
    case ADDRESS_SIZE:
        return percent(95) ? engine.address_size : garbage();
    case HOW:
        return below(3);
    case EPOLL_OPERATION:
        return 1 + below(3);
    case CLOCK:
        return below(12);
    case FUTEX_OPERATION:
        return below(14) | (percent(50) ? 128u : 0) | (percent(10) ? 256u : 0);
    case LENGTH:
        return percent(98) ? PAGE * (1 + below(16)) : garbage() % (64u << 20);
    case PROCESS: /* it does not know its own PID */
        return percent(50) ? 1 + below(4000) : garbage();
    case OPEN_FLAGS:
    case MESSAGE_FLAGS:
    case AT_FLAGS:
    case ACCEPT_FLAGS:
    case PROTECTION:
    case MAP_FLAGS:
        return flags_of(kind);
    case SPACE:
    case BYTES:
    case VECTOR:
    case PATH:
    case ADDRESS:
    case ADDRESS_SIZE_AT:
    case MESSAGE:
    case MESSAGES:
    case EPOLL_EVENT:
    case TIME:
    case PLACE:
        return pointer_of(kind);
    default:
        return number_of(kind);
    }
}

/* ---- calls ---- */

static int64_t system_call(int number, const uint64_t a[static 6]) {
#if defined __x86_64__
    int64_t result;
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((int64_t)number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined __aarch64__
    register uint64_t x8 __asm__("x8") = (uint64_t)number, x0 __asm__("x0") = a[0], x1 __asm__("x1") = a[1],
                         x2 __asm__("x2") = a[2], x3 __asm__("x3") = a[3], x4 __asm__("x4") = a[4],
                         x5 __asm__("x5") = a[5];
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
    return (int64_t)x0;
#endif
}

/* Makes a call through the entry point for 32-bit programs. */
static int64_t compat_call(int number) {
#if defined __x86_64__
    int64_t result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"((int64_t)number), "b"(0L), "c"(0L), "d"(0L) : "memory");
    return result;
#else
    (void)number;
    return -ENOSYS;
#endif
}

static bool passes(int number, const uint64_t arguments[static 6]) {
    enum filter_verdict verdict = filter_judge(FILTER_NATIVE, number, arguments);
    if (verdict == FILTER_UNREADABLE)
        engine.arena->unreadable = 1;
    return verdict == FILTER_PASSES;
}

static bool is_reading(int number) {
    return number == SYS_read || number == SYS_pread64 || number == SYS_readv || number == SYS_recvfrom ||
           number == SYS_recvmsg || number == SYS_recvmmsg || number == SYS_getdents64 || number == SYS_readlinkat;
}

/* Does not use chance(), because the kernel's results must not change which calls follow. */
static bool is_once_in_a_while(void) {
    return mix(engine.aside++) % 2000 == 0;
}

/* A call that waits forever blocks the worker. This is not always avoided, because others must tolerate that, too. */
static bool waits_for_ever(int number, const uint64_t arguments[static 6]) {
    uint64_t flags = number == SYS_recvfrom || number == SYS_recvmmsg ? arguments[3]
                     : number == SYS_recvmsg                          ? arguments[2]
                                                                      : 0;
    if (number == SYS_epoll_pwait)
        return (uint32_t)arguments[3] > 10 && !is_once_in_a_while();
    if (!is_reading(number) && number != SYS_accept4)
        return false;
    if (arguments[0] >= DESCRIPTORS_AT_START || (flags & MSG_DONTWAIT) != 0)
        return false;
    return !engine.nonblocking[arguments[0]] && !is_once_in_a_while();
}

static void learn(int number, const uint64_t arguments[static 6], int64_t result) {
    if (result < 3 || result > 100000)
        return;
    if (number != SYS_openat && number != SYS_accept4 && number != SYS_dup && number != SYS_dup3 &&
        number != SYS_fcntl && number != SYS_socket && number != SYS_epoll_create1)
        return;
    if (number == SYS_fcntl && arguments[1] != F_DUPFD && arguments[1] != F_DUPFD_CLOEXEC)
        return;
    if (number == SYS_accept4 && result < DESCRIPTORS_AT_START)
        engine.nonblocking[result] = (arguments[3] & SOCK_NONBLOCK) != 0;
    if (number == SYS_openat && result < DESCRIPTORS_AT_START) /* this can open its own log again */
        engine.nonblocking[result] = (arguments[2] & O_NONBLOCK) != 0 ||
                                     strncmp((const char *)(uintptr_t)arguments[1], "/proc/self/fd/", 14) != 0;
    uint64_t old[6] = {(uint64_t)engine.learned[engine.learned_at % LEARNED]};
    if (old[0] >= DESCRIPTORS_AT_START && old[0] < INT_MAX && passes(SYS_close, old))
        system_call(SYS_close, old);
    engine.learned[engine.learned_at++ % LEARNED] = (int)result;
}

static void loot(const uint8_t *from, size_t size) {
    struct intruder_arena *arena = engine.arena;
    if (from < engine.slots || from >= engine.slots + SLOTS * SLOT_SIZE - LOOT_EACH)
        return;
    size = size < LOOT_EACH ? size : LOOT_EACH;
    if (arena->loot_at + size > INTRUDER_LOOT_MAX)
        arena->loot_at = 0;
    memcpy(arena->loot + arena->loot_at, from, size);
    arena->loot_at += size;
}

static void keep_what_was_read(int number, const uint64_t arguments[static 6], int64_t result) {
    const struct iovec *parts = NULL;
    if (result <= 0 || !is_reading(number))
        return;
    if (number == SYS_readv)
        parts = (const struct iovec *)(uintptr_t)arguments[1];
    else if (number == SYS_recvmsg || number == SYS_recvmmsg)
        parts = ((const struct msghdr *)(uintptr_t)arguments[1])->msg_iov;
    if (number == SYS_recvmmsg)
        result = LOOT_EACH;
    if (parts)
        loot(parts->iov_base, (size_t)result);
    else
        loot((const uint8_t *)(uintptr_t)arguments[number == SYS_readlinkat ? 2 : 1], (size_t)result);
}

static void note(uint32_t round, int number, const uint64_t arguments[static 6]) {
    struct intruder_arena *arena = engine.arena;
    struct intruder_call *call = &arena->trace[arena->trace_at % INTRUDER_TRACE_MAX];
    *call = (struct intruder_call){.round = round, .number = number, .result = INT64_MIN};
    memcpy(call->arguments, arguments, sizeof call->arguments);
    arena->trace_at++;
}

/* Redirects calls that would only damage the engine itself to memory where they may act. */
static void protect_engine(int number, uint64_t arguments[static 6]) {
    const bool is_fixed = number != SYS_mmap || (arguments[3] & (MAP_FIXED | 0x100000)) != 0;
    const uint64_t first = (uintptr_t)engine.play, end = first + PLAY_SIZE;
    if (number != SYS_mmap && number != SYS_munmap && number != SYS_mprotect && number != SYS_mremap &&
        number != SYS_madvise)
        return;
    if (arguments[0] - engine.arena->all_shared < engine.arena->all_shared_size && number != SYS_munmap &&
        number != SYS_mremap)
        return;
    if (number == SYS_mmap && (arguments[3] & (MAP_POPULATE | MAP_LOCKED)) != 0)
        arguments[1] %= 1u << 20; /* the unit limits memory, but a container on a test host may not */
    if (is_fixed && (arguments[0] < first || arguments[0] >= end) && below(300) != 0)
        arguments[0] = first;
    if (number == SYS_mremap && (arguments[4] < first || arguments[4] >= end))
        arguments[4] = first;
    if (arguments[0] >= first && arguments[0] < end && arguments[1] > end - arguments[0])
        arguments[1] = end - arguments[0];
    if (number == SYS_mremap && arguments[4] + arguments[2] > end)
        arguments[2] = PAGE;
}

static void make_call(uint32_t round, int number, uint64_t arguments[static 6]) {
    struct intruder_arena *arena = engine.arena;
    note(round, number, arguments);
    int64_t result = system_call(number, arguments);
    arena->trace[(arena->trace_at - 1) % INTRUDER_TRACE_MAX].result = result;
    arena->made++;
    arena->obeyed += result >= 0 || result < -4095;
    keep_what_was_read(number, arguments, result);
    learn(number, arguments, result);
    uint64_t made[6] = {(uint64_t)result, arguments[1]};
    bool is_in_play = made[0] >= (uintptr_t)engine.play && made[0] < (uintptr_t)engine.play + PLAY_SIZE;
    if (number == SYS_mmap && (result > 0 || result < -4095) && !is_in_play && passes(SYS_munmap, made))
        system_call(SYS_munmap, made);
}

static void draw(const struct known_call *call, uint64_t arguments[static 6]) {
    engine.bytes_size = 0;
    for (unsigned i = 0; i < 6; i++)
        arguments[i] = argument(call->arguments[i]);
    if (call->number == SYS_mmap && percent(40)) { /* filters never refuse this, because it only maps memory */
        arguments[3] = MAP_PRIVATE | MAP_ANONYMOUS;
        arguments[4] = UINT64_MAX;
    }
    protect_engine(call->number, arguments);
}

static bool is_the_end(int number) {
    return number == SYS_exit_group || number == SYS_exit || number == SYS_rt_sigreturn;
}

static bool is_rare(int number) {
    return (number == SYS_close || number == SYS_close_range) && !percent(4);
}

static void tick_number(int number) {
    if (number >= 0 && number < INTRUDER_NUMBERS)
        engine.arena->tried[number / 8] |= (uint8_t)(1u << (number % 8));
}

/* ---- sessions ---- */

/* Finds the calls, of any number, that the filter allows with some arguments. */
static void find_candidates(void) {
    uint64_t arguments[6];
    engine.candidate_count = 0;
    for (size_t i = 0; i < KNOWN_COUNT + INTRUDER_NUMBERS; i++) {
        struct known_call call = {(int)(i - KNOWN_COUNT), {DESCRIPTOR, SPACE, FEW, SPACE, FEW, SPACE}};
        bool is_known = i < KNOWN_COUNT, is_passing = false;
        if (is_known)
            call = known_calls[i];
        for (size_t k = 0; k < KNOWN_COUNT && i >= KNOWN_COUNT; k++)
            is_known |= known_calls[k].number == call.number;
        if (i >= KNOWN_COUNT && is_known)
            continue;
        tick_number(call.number);
        for (unsigned tries = 0; tries < 200 && !is_passing && !is_the_end(call.number); tries++) {
            draw(&call, arguments);
            is_passing = passes(call.number, arguments);
        }
        if (is_passing)
            engine.candidates[engine.candidate_count++] = call;
    }
}

static void choose_theme(void) {
    if (percent(85))
        engine.focus = engine.shared[below(engine.shared_count)];
    else
        engine.focus = (int)below(DESCRIPTORS_AT_START);
    for (unsigned i = 0; i < SUBSET; i++)
        engine.subset[i] = below(engine.candidate_count);
}

/* Makes a few calls about the same object, repeatedly and in any order, so that attacks of two or three steps occur
 * soon. */
static void make_round(uint32_t round) {
    struct intruder_arena *arena = engine.arena;
    uint64_t arguments[6];
    engine.random = mix(arena->seed ^ mix(round));
    engine.aside = engine.random ^ 0xa51de;
    engine.slot = 0;
    engine.address_size = 0;
    choose_theme();
    unsigned length = 10 + below(100);
    for (unsigned i = 0; i < length; i++) {
        struct known_call call = engine.candidates[engine.subset[below(SUBSET)]];
        if (percent(8))
            call = known_calls[below(KNOWN_COUNT)];
        else if (percent(4)) /* any number, including those of x32 */
            call = (struct known_call){(int)below(INTRUDER_NUMBERS) | (percent(20) ? 0x40000000 : 0),
                                       {DESCRIPTOR, SPACE, FEW, SPACE, FEW, SPACE}};
        tick_number(call.number);
        bool may = false;
        for (unsigned tries = 0; tries < TRIES && !may; tries++) {
            draw(&call, arguments);
            may = passes(call.number, arguments);
        }
        bool is_wanted = i >= arena->call_first && i - arena->call_first < arena->call_count;
        bool is_bad = is_the_end(call.number) || is_rare(call.number) || waits_for_ever(call.number, arguments);
        if (!may)
            arena->kept_back++;
        else if (is_wanted && !is_bad)
            make_call(round, call.number, arguments);
    }
}

static void wait_for_release(void) {
    while (engine.arena->state != INTRUDER_RELEASED) {
        uint64_t arguments[6] = {(uint64_t)engine.events, (uintptr_t)engine.slots, 1, 1, 0, 8};
        if (passes(SYS_epoll_pwait, arguments))
            system_call(SYS_epoll_pwait, arguments);
    }
}

/* Ends the worker, usually with a forbidden call. */
static void end_session(void) {
    struct intruder_arena *arena = engine.arena;
    uint64_t arguments[6] = {0};
    int number = 0;
    engine.random = mix(arena->seed ^ 0xe0d);
    if (percent(10))
        system_call(SYS_exit_group, (const uint64_t[6]){7});
    if (percent(10)) {
        arena->final_number = -1;
        compat_call(20);
    } else {
        do {
            struct known_call call = known_calls[below(KNOWN_COUNT)];
            if (percent(50))
                call = (struct known_call){(int)below(INTRUDER_NUMBERS) | (percent(20) ? 0x40000000 : 0),
                                           {DESCRIPTOR, SPACE, FEW, SPACE, FEW, SPACE}};
            draw(&call, arguments);
            number = call.number;
        } while (passes(number, arguments) || is_the_end(number));
        arena->final_number = number;
        note(UINT32_MAX, number, arguments);
        system_call(number, arguments);
    }
    arena->state = INTRUDER_SURVIVED;
    for (;;)
        system_call(SYS_exit_group, (const uint64_t[6]){8});
}

/*
 * In each session, some shared objects are not touched: if one is always broken first, the test would not find that
 * others can be broken as well.
 */
static void choose_shared(int events) {
    const struct worker_setup *setup = engine.setup;
    const int others[] = {STDERR_FILENO, setup->channel, setup->capsules->folder, events, events + 1, 0, 1};
    bool listeners = percent(50);
    engine.shared_count = 0;
    engine.left_alone = 0;
    for (size_t i = 0; i < setup->listener_count && i < 4; i++) {
        if (listeners)
            engine.shared[engine.shared_count++] = setup->listeners[i].descriptor;
        else
            engine.left_alone |= UINT64_C(1) << (setup->listeners[i].descriptor & 63);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (percent(60))
            engine.shared[engine.shared_count++] = others[i];
        else if (others[i] >= 0)
            engine.left_alone |= UINT64_C(1) << (others[i] & 63);
    }
    if (engine.shared_count == 0)
        engine.shared[engine.shared_count++] = -1;
}

static void begin_session(int events) {
    struct intruder_arena *arena = engine.arena;
    arena->state = INTRUDER_RUNNING;
    engine.events = events;
    engine.random = mix(arena->seed);
    choose_shared(events);
    memset(engine.learned, -1, sizeof engine.learned);
    find_candidates();
}

bool engine_read_surroundings(void) {
    return surroundings_read(SURROUNDINGS, &engine.surroundings);
}

void engine_prepare(const struct worker_setup *setup) {
    size_t size = sizeof(struct intruder_arena),
           all = ((size + PAGE - 1) & ~(size_t)(PAGE - 1)) + SLOTS * SLOT_SIZE + PLAY_SIZE;
    uint8_t *memory = mmap((void *)INTRUDER_ARENA, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != (void *)INTRUDER_ARENA)
        return;
    engine.arena = (void *)memory;
    engine.play = memory + all - PLAY_SIZE;
    engine.slots = engine.play - SLOTS * SLOT_SIZE;
    engine.setup = setup;
    for (int i = 0; i < DESCRIPTORS_AT_START; i++) /* descriptors that are not open yet will not wait either */
        engine.nonblocking[i] = fcntl(i, F_GETFL) < 0 || (fcntl(i, F_GETFL) & O_NONBLOCK) != 0;
    engine.arena->all_shared = (uintptr_t)setup->all_shared;
    engine.arena->all_shared_size = setup->shared_count * sizeof *setup->all_shared;
    engine.arena->own_shared = (uintptr_t)setup->shared;
    engine.arena->own_shared_size = sizeof *setup->shared;
    memcpy(engine.arena->magic, INTRUDER_MAGIC, sizeof engine.arena->magic);
}

void engine_hear(int descriptor, const void *message, size_t size) {
    if (!engine.arena || engine.arena->state != INTRUDER_IDLE || descriptor != engine.setup->channel ||
        size > SLOT_SIZE)
        return;
    memcpy(engine.question, message, size);
    engine.question_size = size;
}

void engine_look(int events) {
    if (!engine.arena || engine.arena->state != INTRUDER_ORDERED)
        return;
    begin_session(events);
    for (uint32_t i = 0; i < engine.arena->round_count; i++) {
        engine.arena->round = engine.arena->round_first + i;
        make_round(engine.arena->round);
    }
    engine.arena->state = INTRUDER_DONE;
    wait_for_release();
    end_session();
}
