/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watcher.h"

#define CHUNK (1u << 20)
#define MEMORY_MAX (256u << 20) /* MemoryMax= of the unit */
#define FIRST 1                 /* the PID of a container's first process */

/* Reads the first line of a command's output, without the line break. */
static bool ask(const char *command, char *text, size_t size) {
    FILE *pipe = popen(command, "re");
    if (!pipe)
        return false;
    bool any = fgets(text, (int)size, pipe) != NULL;
    pclose(pipe);
    if (any)
        text[strcspn(text, "\n")] = '\0';
    return any;
}

/* ---- processes ---- */

static void program_of(pid_t pid, char *text, size_t size) {
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    text[0] = '\0';
    if (stat(path, &status) == 0)
        snprintf(text, size, "%" PRIuMAX ":%" PRIuMAX, (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
}

/* Returns the last number in a line of the process's status; 0 if there is none. */
static pid_t number_in_status(pid_t pid, const char *name) {
    char path[64], line[128];
    int number = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            number = atoi(strrchr(line, '\t'));
    }
    if (file)
        fclose(file);
    return number;
}

static pid_t parent_of(pid_t pid) {
    return number_in_status(pid, "PPid");
}

pid_t own_number(pid_t pid) {
    return number_in_status(pid, "NSpid");
}

static pid_t main_process(const char *unit) {
    char command[128], text[32];
    snprintf(command, sizeof command, "systemctl show --value --property=MainPID %s", unit);
    return ask(command, text, sizeof text) ? atoi(text) : 0;
}

static bool is_monitor(pid_t pid) {
    char path[64], program[128];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t size = readlink(path, program, sizeof program - 1);
    program[size < 0 ? 0 : size] = '\0';
    return strcmp(program, "/usr/bin/conmon") == 0;
}

/* Returns the child of this process whose own PID (in its namespace) is `number`; 0 if there is none. */
static pid_t child_of(const struct service *service, pid_t parent, pid_t number) {
    struct pids pids;
    service_pids(service, &pids);
    for (size_t i = 0; i < pids.count; i++) {
        if (parent_of(pids.list[i]) == parent && own_number(pids.list[i]) == number)
            return pids.list[i];
    }
    return 0;
}

bool service_look(struct service *service) {
    char text[CONTROL_GROUP_MAX];
    *service = (struct service){0};
    if (!ask("systemctl show --value --property=ControlGroup vitrine.service", text, sizeof text) || text[0] != '/')
        return false;
    snprintf(service->group, sizeof service->group, "%s", text);
    service->supervisor = main_process("vitrine.service");
    service->keys = main_process("vitrine-keys.service");
    if (is_monitor(service->supervisor)) {
        service->monitor = service->supervisor;
        service->supervisor = child_of(service, service->monitor, FIRST);
        if (service->keys == 0) /* in the same container, where it is the first child */
            service->keys = child_of(service, service->supervisor, FIRST + 1);
    }
    program_of(service->supervisor, service->program, sizeof service->program);
    return service->supervisor > 0 && service->keys > 0;
}

void service_pids(const struct service *service, struct pids *pids) {
    char path[CONTROL_GROUP_MAX + 64];
    int pid;
    pids->count = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cgroup.procs", service->group);
    FILE *file = fopen(path, "re");
    while (file && pids->count < PIDS_MAX && fscanf(file, "%d", &pid) == 1) {
        if (pid != service->monitor && pid != service->keys)
            pids->list[pids->count++] = pid;
    }
    if (file)
        fclose(file);
}

bool pids_hold(const struct pids *pids, pid_t pid) {
    for (size_t i = 0; i < pids->count; i++) {
        if (pids->list[i] == pid)
            return true;
    }
    return false;
}

static size_t count_threads(pid_t pid) {
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 2 ? count - 2 : 0;
}

static uint64_t resident(pid_t pid) {
    char path[64];
    uint64_t all, there = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &all, &there, &shared) != 3)
        there = shared = 0;
    if (file)
        fclose(file);
    return (there - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool service_lives(const struct service *service) {
    struct pids pids;
    service_pids(service, &pids);
    return pids_hold(&pids, service->supervisor);
}

void look_at_processes(const struct service *service) {
    struct pids pids;
    uint64_t memory = 0;
    char program[64];
    service_pids(service, &pids);
    if (!pids_hold(&pids, service->supervisor)) {
        broken(PROMISE_WORKERS, "the supervisor, process %d, has ended", (int)service->supervisor);
        return;
    }
    for (size_t i = 0; i < pids.count; i++) {
        pid_t pid = pids.list[i], parent = parent_of(pid);
        program_of(pid, program, sizeof program);
        if (program[0] && strcmp(program, service->program) != 0)
            broken(PROMISE_PROCESSES, "process %d runs another program", (int)pid);
        if (parent != 0 && pid != service->supervisor && parent != service->supervisor)
            broken(PROMISE_PROCESSES, "process %d was made by %d, not by the supervisor", (int)pid, (int)parent);
        if (count_threads(pid) > 1)
            broken(PROMISE_PROCESSES, "process %d has %zu threads", (int)pid, count_threads(pid));
        memory += resident(pid);
    }
    if (memory > MEMORY_MAX)
        broken(PROMISE_BOUNDS, "the service has %" PRIu64 " MiB of memory", memory >> 20);
}

/* ---- memory ---- */

static bool memory_move(pid_t pid, uint64_t at, void *memory, size_t size, bool write) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int file = open(path, (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t moved = write ? pwrite(file, memory, size, (off_t)at) : pread(file, memory, size, (off_t)at);
    close(file);
    return moved == (ssize_t)size;
}

bool memory_read(pid_t pid, uint64_t at, void *into, size_t size) {
    return memory_move(pid, at, into, size, false);
}

bool memory_write(pid_t pid, uint64_t at, const void *from, size_t size) {
    char copy[64];
    if (size > sizeof copy)
        return false;
    memcpy(copy, from, size);
    return memory_move(pid, at, copy, size, true);
}

bool is_worker(pid_t pid) {
    char magic[sizeof((struct intruder_arena *)0)->magic];
    return memory_read(pid, INTRUDER_ARENA, magic, sizeof magic) && memcmp(magic, INTRUDER_MAGIC, sizeof magic) == 0;
}

static struct {
    const char *name;
    uint8_t text[64];
    size_t size;
} secrets[] = {{"the token of the decoys", {0}, 0}, {"the private key", {0}, 0}};

#define SECRETS (sizeof secrets / sizeof secrets[0])

const uint8_t *secret_text(size_t which, size_t *size) {
    *size = which < SECRETS ? secrets[which].size : 0;
    return *size > 0 ? secrets[which].text : NULL;
}

bool secrets_read(const char *surroundings) {
    char line[4096];
    FILE *file = fopen(surroundings, "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "decoy_token=", 12) == 0) {
            secrets[0].size = strlen(line + 12);
            memcpy(secrets[0].text, line + 12, secrets[0].size < 64 ? secrets[0].size : 64);
        }
        if (strncmp(line, "key_mark=", 9) == 0) { /* attempt.h: each byte xor 0xff, in hexadecimal */
            unsigned byte;
            secrets[1].size = 0;
            for (const char *at = line + 9; secrets[1].size < 64 && sscanf(at, "%2x", &byte) == 1; at += 2)
                secrets[1].text[secrets[1].size++] = (uint8_t)(byte ^ 0xff);
        }
    }
    if (file)
        fclose(file);
    return secrets[0].size >= 16 && secrets[1].size >= 16;
}

static void search(pid_t pid, uint64_t from, uint64_t end) {
    static uint8_t chunk[CHUNK + 64];
    for (uint64_t at = from; at < end; at += CHUNK) {
        size_t size = end - at < CHUNK + 64 ? (size_t)(end - at) : CHUNK + 64;
        if (!memory_read(pid, at, chunk, size))
            return;
        for (size_t i = 0; i < SECRETS; i++) {
            if (memmem(chunk, size, secrets[i].text, secrets[i].size))
                broken(PROMISE_SECRETS, "process %d has %s in its memory, near %" PRIx64, (int)pid, secrets[i].name,
                       at);
        }
    }
}

void look_for_secrets(const struct service *service) {
    struct pids pids;
    service_pids(service, &pids);
    for (size_t i = 0; i < pids.count; i++) {
        char path[64], line[512], rights[8], name[256];
        uint64_t from, end;
        snprintf(path, sizeof path, "/proc/%d/maps", (int)pids.list[i]);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file)) {
            name[0] = '\0';
            if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %255s", &from, &end, rights, name) < 3 ||
                rights[0] != 'r' || strncmp(name, "[v", 2) == 0)
                continue;
            search(pids.list[i], from, end);
        }
        if (file)
            fclose(file);
    }
}

void look_at_shared(pid_t pid) {
    static struct intruder_arena arena;
    if (!memory_read(pid, INTRUDER_ARENA, &arena, offsetof(struct intruder_arena, trace)) || arena.all_shared_size == 0)
        return;
    uint8_t *all_shared = malloc(arena.all_shared_size);
    if (all_shared && memory_read(pid, arena.all_shared, all_shared, arena.all_shared_size)) {
        uint64_t own = arena.own_shared - arena.all_shared;
        if (own < arena.all_shared_size)
            memset(all_shared + own, 0,
                   arena.own_shared_size < arena.all_shared_size - own ? arena.own_shared_size
                                                                       : arena.all_shared_size - own);
        if (memmem(all_shared, arena.all_shared_size, INTRUDER_CONTENT_MARK, strlen(INTRUDER_CONTENT_MARK)))
            broken(PROMISE_BOARDS, "process %d has written into the counters of other workers", (int)pid);
    }
    free(all_shared);
}

/* ---- listeners ---- */

static void list_listeners(unsigned port, char *text, size_t size) {
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    text[0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        char line[512], address[64];
        unsigned local, state;
        unsigned long inode;
        FILE *file = fopen(tables[i], "re");
        while (file && fgets(line, sizeof line, file)) {
            if (sscanf(line, " %*d: %63[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", address, &local, &state, &inode) ==
                    4 &&
                local == port && state == 0x0a)
                snprintf(text + strlen(text), size - strlen(text), " %s:%lu", address, inode);
        }
        if (file)
            fclose(file);
    }
}

static char listeners_before[512];

void look_at_listeners(unsigned port, bool keep) {
    char text[512];
    list_listeners(port, text, sizeof text);
    if (keep)
        strcpy(listeners_before, text);
    else if (strcmp(listeners_before, text) != 0) {
        escaped(ESCAPE_CLOSED);
        broken(PROMISE_LISTENERS, "the sockets that listen were%s and are%s", listeners_before,
               text[0] ? text : " none");
    }
}

/* target: "socket:[INODE]" */
static bool is_listening(const char *target) {
    char text[64];
    unsigned long inode;
    if (sscanf(target, "socket:[%lu]", &inode) != 1)
        return false;
    snprintf(text, sizeof text, ":%lu", inode);
    return strstr(listeners_before, text) != NULL;
}

/* ---- descriptors ---- */

#define DESCRIPTORS 256

struct description {
    int number;
    unsigned flags;
    char target[128];
    char told[64]; /* flags and position */
};

static void tell_description(pid_t pid, int number, struct description *description) {
    char path[64], line[128];
    long long position = 0;
    *description = (struct description){.number = number};
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, number);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "flags: %o", &description->flags);
        sscanf(line, "pos: %lld", &position);
    }
    if (file)
        fclose(file);
    snprintf(description->told, sizeof description->told, "flags %o, position %lld", description->flags, position);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, number);
    ssize_t size = readlink(path, description->target, sizeof description->target - 1);
    description->target[size < 0 ? 0 : size] = '\0';
}

void look_at_descriptors(const struct service *service, bool keep) {
    static struct description before[DESCRIPTORS];
    static size_t count;
    struct description description;
    if (keep) {
        char path[64];
        struct dirent *entry;
        snprintf(path, sizeof path, "/proc/%d/fd", (int)service->supervisor);
        DIR *folder = opendir(path);
        count = 0;
        while (folder && count < DESCRIPTORS && (entry = readdir(folder))) {
            if (entry->d_name[0] != '.')
                tell_description(service->supervisor, atoi(entry->d_name), &before[count++]);
        }
        if (folder)
            closedir(folder);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tell_description(service->supervisor, before[i].number, &description);
        if (strcmp(description.target, before[i].target) != 0 || strcmp(description.told, before[i].told) == 0)
            continue;
        if (is_listening(before[i].target) && (before[i].flags & O_NONBLOCK) != 0 &&
            (description.flags & O_NONBLOCK) == 0)
            escaped(ESCAPE_BLOCKING);
        broken(PROMISE_FLAGS, "descriptor %d (%s), which the supervisor shares, had %s and has %s", before[i].number,
               before[i].target, before[i].told, description.told);
    }
}

/* ---- files ---- */

#define LISTING_MAX (256u << 10)

static void list_files(const struct service *service, const char *folder, char *text) {
    char command[4096];
    snprintf(command, sizeof command,
             "cd %s && find host state empty keys image content disk readonly /srv/gemini /etc/vitrine "
             "/var/lib/private/vitrine /var/lib/containers/storage/volumes "
             "/proc/%d/root/tmp /proc/%d/root/var/tmp /proc/%d/root/srv /proc/%d/root/dev "
             "-printf '%%p %%y %%m %%U %%s %%T@ %%C@\\n' 2>/dev/null | grep -v '/dev[^ ]* [cl] ' | sort",
             folder, (int)service->supervisor, (int)service->supervisor, (int)service->supervisor,
             (int)service->supervisor);
    FILE *pipe = popen(command, "re");
    size_t size = pipe ? fread(text, 1, LISTING_MAX - 1, pipe) : 0;
    text[size] = '\0';
    if (pipe)
        pclose(pipe);
}

void look_at_files(const struct service *service, const char *folder, bool keep) {
    static char before[LISTING_MAX], text[LISTING_MAX];
    if (!service_lives(service))
        return;
    list_files(service, folder, keep ? before : text);
    if (keep || strcmp(before, text) == 0)
        return;
    size_t at = 0;
    while (before[at] == text[at])
        at++;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    broken(PROMISE_FILES, "a file is not what it was: %.*s", (int)strcspn(text + at, "\n"), text + at);
}
