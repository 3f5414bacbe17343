/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "identity_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic_file.h"
#include "common/beneath.h"
#include "common/hostname.h"
#include "common/log.h"

#define PREFIX "identity."
#define PREFIX_SIZE 9 /* the length of "identity_" */
#define ENDING_SIZE 4 /* .pem, .key */

static const char unreadable[] = "it is not a readable file; restore it from a backup";

bool identity_file_is_host(const char *host) {
    size_t length = strlen(host);
    if (length == 0 || length > IDENTITY_FILE_HOST_MAX || host[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '/')
            return false;
    }
    return true;
}

/* Replaces one character with another. */
static void exchange(char *text, char from, char to) {
    for (; (text = strchr(text, from)); text++)
        *text = to;
}

/* Converts an IPv6 address with dashes instead of colons. Other names stay as they are. */
static void put_colons(char host[static HOSTNAME_MAX + 1]) {
    unsigned char address[sizeof(struct in6_addr)];
    char other[HOSTNAME_MAX + 1];
    snprintf(other, sizeof other, "%s", host);
    exchange(other, '-', ':');
    if (inet_pton(AF_INET6, other, address) == 1)
        memcpy(host, other, strlen(other) + 1);
}

/* Reads the host from NAME, a file name without prefix and ending. */
static bool take_host(const char *name, size_t length, bool given, char host[static HOSTNAME_MAX + 1]) {
    char written[HOSTNAME_MAX + 1];
    if (length == 0 || length > HOSTNAME_MAX)
        return false;
    memcpy(written, name, length);
    written[length] = '\0';
    if (given)
        put_colons(written);
    return hostname_canonical(host, written) && identity_file_is_host(host);
}

bool identity_file_host_of(const char *file, bool given, char host[static HOSTNAME_MAX + 1]) {
    /* systemd writes identity_HOST.pem if it loads a folder as `identity`. */
    if (given && strncmp(file, PREFIX, PREFIX_SIZE) != 0 && strncmp(file, "identity_", PREFIX_SIZE) != 0)
        return false;
    if (given)
        file += PREFIX_SIZE;
    size_t length = strlen(file);
    return length > ENDING_SIZE && strcmp(file + length - ENDING_SIZE, IDENTITY_FILE_PRESENT) == 0 &&
           take_host(file, length - ENDING_SIZE, given, host);
}

void identity_file_credential(const char *host, char file[static IDENTITY_FILE_NAME_MAX + 1]) {
    snprintf(file, IDENTITY_FILE_NAME_MAX + 1, PREFIX "%s" IDENTITY_FILE_PRESENT, host);
    exchange(file, ':', '-');
}

void identity_file_name(const char *host, char file[static IDENTITY_FILE_NAME_MAX + 1]) {
    snprintf(file, IDENTITY_FILE_NAME_MAX + 1, "%s" IDENTITY_FILE_PRESENT, host);
}

static bool is_there(int folder, const char *file) {
    return faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool identity_file_path(int folder, const char *host, const char *ending,
                        char file[static IDENTITY_FILE_NAME_MAX + 1]) {
    char written[HOSTNAME_MAX + 1], former[IDENTITY_FILE_NAME_MAX + 1];
    snprintf(file, IDENTITY_FILE_NAME_MAX + 1, "%s%s", host, ending);
    if (is_there(folder, file))
        return true;
    if (!hostname_to_unicode(written, host))
        return false;
    snprintf(former, sizeof former, "%s%s", written, ending);
    if (!is_there(folder, former))
        return false;
    memcpy(file, former, strlen(former) + 1);
    return true;
}

/* ---- reading ---- */

/*
 * Opens a file. Given ones may be links that stay in their folder, as in a Kubernetes secret. In the state folder, a
 * link would be an attempt to make us read another file. Returns a descriptor or -errno.
 */
static int open_file(int folder, const char *file, bool given) {
    if (given)
        return beneath_walk(folder, file, O_RDONLY | O_NONBLOCK);
    int opened = openat(folder, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return opened < 0 ? -errno : opened;
}

static struct identity_file_state state_of(const struct stat *about) {
    return (struct identity_file_state){.device = about->st_dev,
                                        .number = about->st_ino,
                                        .size = about->st_size,
                                        .mode = about->st_mode,
                                        .owner = about->st_uid,
                                        .modified = about->st_mtim};
}

/* Reads a file and its state. Returns NULL, or what is wrong with it. */
static const char *read_file(int folder, const char *file, bool given, struct identity_file_state *state, char **text) {
    int opened = open_file(folder, file, given);
    ssize_t size = opened;
    struct stat about = {0};
    if (opened >= 0) {
        size = fstat(opened, &about) < 0 ? -errno : atomic_file_read_open(opened, text);
        close(opened);
        *state = state_of(&about);
    }
    if (size == -EACCES || size == -EPERM)
        return "it cannot be read; give it the owner of its folder (chown)";
    if (size == -EXDEV)
        return "it is a symbolic link that leads out of its folder; replace it with a copy";
    if (size < 0)
        return unreadable;
    return !given && (about.st_mode & 077) != 0
               ? "other users may read it; run chmod 600 on it, and change to a new key if somebody may have read it"
               : NULL;
}

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void name_key_file(const struct identity_file *held, char file[static IDENTITY_FILE_NAME_MAX + 1]) {
    snprintf(file, IDENTITY_FILE_NAME_MAX + 1, "%.*s.key", (int)(strlen(held->file) - ENDING_SIZE), held->file);
}

/* The key may be in a separate file beside a given certificate. */
static const char *read_key_file(int folder, struct identity_file *held, char **key) {
    char file[IDENTITY_FILE_NAME_MAX + 1];
    name_key_file(held, file);
    if (!held->given || !is_there(folder, file))
        return NULL;
    return read_file(folder, file, true, &held->about_key, key);
}

/* Keeps what the certificate says about itself. */
static const char *examine(struct identity_file *held, const char *pem) {
    struct certificate_facts facts;
    const char *problem = certificate_examine(&facts, pem);
    if (problem)
        return problem;
    held->begins = facts.begins;
    held->ends = facts.ends;
    held->has_unicode = facts.has_unicode;
    held->names = strdup(facts.names);
    certificate_facts_dispose(&facts);
    return held->names ? NULL : "out of memory";
}

static const char *load(struct identity_file *held, int folder) {
    char *pem = NULL, *key = NULL;
    const char *problem = read_file(folder, held->file, held->given, &held->about, &pem);
    if (!problem)
        problem = read_key_file(folder, held, &key);
    /* Read the names first: if the file turns out to be broken, its hosts must not get another identity. */
    if (!problem)
        problem = examine(held, pem);
    if (!problem)
        problem = identity_load(&held->identity, held->host, pem, key);
    wipe(pem);
    wipe(key);
    return problem;
}

struct identity_file *identity_file_load(int folder, const char *file, bool given) {
    struct identity_file *held = calloc(1, sizeof *held);
    char host[HOSTNAME_MAX + 1] = "";
    const char *name = given ? file + PREFIX_SIZE : file;
    const char *ending = strrchr(name, '.');
    bool named = ending && take_host(name, (size_t)(ending - name), given, host);
    if (!held || !(held->file = strdup(file)) || !(held->host = strdup(host))) {
        identity_file_dispose(held);
        return NULL;
    }
    held->given = given;
    held->problem = named ? load(held, folder) : unreadable;
    if (!held->problem && !given && identity_file_match(held, held->host) == CERTIFICATE_OTHER)
        held->problem = "its certificate is for another host; restore the right one from a backup";
    return held;
}

static bool is_same(const struct identity_file_state *one, const struct identity_file_state *other) {
    return one->number == other->number && one->device == other->device && one->size == other->size &&
           one->mode == other->mode && one->owner == other->owner && one->modified.tv_sec == other->modified.tv_sec &&
           one->modified.tv_nsec == other->modified.tv_nsec;
}

static struct identity_file_state look_at(int folder, const char *file, bool given) {
    struct stat about;
    if (fstatat(folder, file, &about, given ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        return (struct identity_file_state){0};
    return state_of(&about);
}

bool identity_file_is_stale(const struct identity_file *held, int folder) {
    struct identity_file_state about = look_at(folder, held->file, held->given), about_key = {0};
    char file[IDENTITY_FILE_NAME_MAX + 1];
    if (held->given) {
        name_key_file(held, file);
        about_key = look_at(folder, file, true);
    }
    return !is_same(&about, &held->about) || !is_same(&about_key, &held->about_key);
}

/* ---- generations ---- */

bool identity_file_serves(const struct identity_file *held, uint64_t generation) {
    for (unsigned i = 0; i < held->generation_count; i++) {
        if (generation != 0 && held->generations[i] == generation)
            return true;
    }
    return false;
}

void identity_file_serve(struct identity_file *held, uint64_t generation) {
    if (identity_file_serves(held, generation))
        return;
    if (held->generation_count < IDENTITY_FILE_GENERATIONS) {
        uint64_t *more = reallocarray(held->generations, held->generation_count + 1, sizeof *more);
        if (!more)
            return;
        held->generations = more;
        held->generation_count++;
    }
    memmove(held->generations + 1, held->generations, (held->generation_count - 1) * sizeof *held->generations);
    held->generations[0] = generation;
}

/* ---- judging ---- */

enum certificate_match identity_file_match(const struct identity_file *held, const char *host) {
    const char *names = held->names;
    if (!names)
        return CERTIFICATE_OTHER;
    /*
     * The capsule for clients without a host name has no name that a certificate could contain. If a certificate has no
     * subject alternative name (gmid's gencert and many guides make such ones), the file name gives the host.
     */
    if (strcmp(held->host, host) == 0 && (names[0] == '\0' || strcmp(host, "default") == 0))
        return CERTIFICATE_EXACT;
    return certificate_match(names, host);
}

static void show_date(time_t moment, char date[static 32]) {
    struct tm when;
    if (!gmtime_r(&moment, &when) || strftime(date, 32, "%Y-%m-%d", &when) == 0)
        strcpy(date, "an unknown date");
}

/* Logs once what clients may reject. */
static void tell(struct identity_file *held, time_t now) {
    const char *file = held->file;
    char date[32];
    if (held->told)
        return;
    held->told = true;
    show_date(held->begins, date);
    if (held->begins > now)
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s is not valid before %s, so clients may reject it until then; "
                 "check the clock of this machine",
                 held->host, file, date);
    if (held->names[0] == '\0')
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s has no subject alternative name, so some clients reject it on a "
                 "first visit",
                 held->host, file);
    if (held->has_unicode)
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s contains a name with letters outside ASCII, which some clients "
                 "reject; %s",
                 held->host, file,
                 held->given ? "install one that spells it as above" : "renew it with: vitrinectl renew");
}

void identity_file_warn(struct identity_file *held) {
    time_t now = time(NULL), ends = held->ends;
    unsigned stage = certificate_stage(ends, now);
    const char *advice = held->given ? "install a renewed one" : "renew it with: vitrinectl renew";
    char date[32];
    tell(held, now);
    if (stage <= held->warned && stage < 4)
        return;
    held->warned = stage;
    show_date(ends, date);
    if (stage == 4)
        log_line(LOG_LEVEL_ERROR,
                 "identity %s: the certificate in %s expired on %s; the server still uses it, but clients warn their "
                 "users or reject it; %s",
                 held->host, held->file, date, advice);
    else
        log_line(LOG_LEVEL_WARNING, "identity %s: the certificate in %s expires on %s, in %lld days; %s", held->host,
                 held->file, date, (long long)((ends - now) / 86400), advice);
}

void identity_file_dispose(struct identity_file *held) {
    if (!held)
        return;
    identity_dispose(&held->identity);
    free(held->generations);
    free(held->names);
    free(held->host);
    free(held->file);
    free(held);
}
