/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "holding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/hostname.h"
#include "common/log.h"
#include "store.h"

#define PREFIX "identity."
#define PREFIX_SIZE 9 /* as long is "identity_" */
#define ENDING_SIZE 4 /* .pem, .key */
#define HOST_MAX 250  /* with ".next" behind it, it is the name of a file */

static const char unreadable[] = "it is not a readable file; restore it from a backup";

bool holding_is_host(const char *host) {
    size_t length = strlen(host);
    if (length == 0 || length > HOST_MAX || host[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '/')
            return false;
    }
    return true;
}

/* Puts one character in the place of another. */
static void exchange(char *text, char from, char to) {
    for (; (text = strchr(text, from)); text++)
        *text = to;
}

/* An IPv6 address that has dashes for its colons. Other names stay as they are. */
static void put_colons(char host[static CERTIFICATE_HOST_MAX + 1]) {
    unsigned char address[sizeof(struct in6_addr)];
    char other[CERTIFICATE_HOST_MAX + 1];
    snprintf(other, sizeof other, "%s", host);
    exchange(other, '-', ':');
    if (inet_pton(AF_INET6, other, address) == 1)
        memcpy(host, other, strlen(other) + 1);
}

/* The host of NAME, which is without prefix and ending. */
static bool take_host(const char *name, size_t length, bool given, char host[static CERTIFICATE_HOST_MAX + 1]) {
    char written[CERTIFICATE_HOST_MAX + 1];
    if (length == 0 || length > CERTIFICATE_HOST_MAX)
        return false;
    memcpy(written, name, length);
    written[length] = '\0';
    if (given)
        put_colons(written);
    return hostname_canonical(host, written) && holding_is_host(host);
}

bool holding_host_of(const char *file, bool given, char host[static CERTIFICATE_HOST_MAX + 1]) {
    /* systemd writes identity_HOST.pem when it was told to load a folder as `identity`. */
    if (given && strncmp(file, PREFIX, PREFIX_SIZE) != 0 && strncmp(file, "identity_", PREFIX_SIZE) != 0)
        return false;
    if (given)
        file += PREFIX_SIZE;
    size_t length = strlen(file);
    return length > ENDING_SIZE && strcmp(file + length - ENDING_SIZE, ".pem") == 0 &&
           take_host(file, length - ENDING_SIZE, given, host);
}

void holding_credential(const char *host, char file[static HOLDING_FILE_MAX + 1]) {
    snprintf(file, HOLDING_FILE_MAX + 1, PREFIX "%s.pem", host);
    exchange(file, ':', '-');
}

static bool is_there(int folder, const char *file) {
    return faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool holding_file(int folder, const char *host, const char *ending, char file[static HOLDING_FILE_MAX + 1]) {
    char written[HOSTNAME_MAX + 1], former[HOLDING_FILE_MAX + 1];
    snprintf(file, HOLDING_FILE_MAX + 1, "%s%s", host, ending);
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
 * Opens a file. Given ones may be links, as those of a Kubernetes secret are, that stay in their folder; in the state
 * folder a link would be somebody's attempt to have another file read. Returns a descriptor or -errno.
 */
static int open_file(int folder, const char *file, bool given) {
    if (given)
        return beneath_walk(folder, file, O_RDONLY | O_NONBLOCK);
    int opened = openat(folder, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return opened < 0 ? -errno : opened;
}

/* Reads a file, and looks at it. Returns NULL, or what is wrong with it. */
static const char *read_file(int folder, const char *file, bool given, struct stat *about, char **text) {
    int opened = open_file(folder, file, given);
    ssize_t size = opened;
    if (opened >= 0) {
        size = fstat(opened, about) < 0 ? -errno : store_read_open(opened, text);
        close(opened);
    }
    if (size == -EACCES || size == -EPERM)
        return "it cannot be read; make the owner of its folder own it too (chown)";
    if (size == -EXDEV)
        return "it is a symbolic link that leads out of its folder; replace it with a copy";
    if (size < 0)
        return unreadable;
    return !given && (about->st_mode & 077) != 0
               ? "other users may read it; run chmod 600 on it, and change to a new key if somebody may have read it"
               : NULL;
}

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void name_key_file(const struct holding *holding, char file[static HOLDING_FILE_MAX + 1]) {
    snprintf(file, HOLDING_FILE_MAX + 1, "%.*s.key", (int)(strlen(holding->file) - ENDING_SIZE), holding->file);
}

/* The key may have a file of its own beside a given certificate. */
static const char *read_key_file(int folder, struct holding *holding, char **key) {
    char file[HOLDING_FILE_MAX + 1];
    name_key_file(holding, file);
    if (!holding->given || !is_there(folder, file))
        return NULL;
    return read_file(folder, file, true, &holding->about_key, key);
}

static const char *load(struct holding *holding, int folder) {
    char *pem = NULL, *key = NULL;
    const char *problem = read_file(folder, holding->file, holding->given, &holding->about, &pem);
    if (!problem)
        problem = read_key_file(folder, holding, &key);
    /* First of all its names: hosts that it is for are not to get another one when it turns out to be broken. */
    if (!problem)
        problem = certificate_examine(&holding->facts, pem);
    if (!problem)
        problem = identity_load(&holding->identity, holding->host, pem, key);
    wipe(pem);
    wipe(key);
    return problem;
}

struct holding *holding_load(int folder, const char *file, bool given) {
    struct holding *holding = calloc(1, sizeof *holding);
    if (!holding)
        return NULL;
    holding->given = given;
    snprintf(holding->file, sizeof holding->file, "%s", file);
    if (given)
        file += PREFIX_SIZE;
    const char *ending = strrchr(file, '.');
    if (!ending || !take_host(file, (size_t)(ending - file), given, holding->host))
        holding->problem = unreadable;
    else
        holding->problem = load(holding, folder);
    if (!holding->problem && !given && holding_match(holding, holding->host) == CERTIFICATE_OTHER)
        holding->problem = "its certificate is for another host; restore the right one from a backup";
    return holding;
}

static bool is_same(const struct stat *one, const struct stat *other) {
    return one->st_ino == other->st_ino && one->st_dev == other->st_dev && one->st_size == other->st_size &&
           one->st_mode == other->st_mode && one->st_uid == other->st_uid &&
           one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

static struct stat look_at(int folder, const char *file, bool given) {
    struct stat about = {0};
    if (fstatat(folder, file, &about, given ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        about = (struct stat){0};
    return about;
}

bool holding_is_stale(const struct holding *holding, int folder) {
    struct stat about = look_at(folder, holding->file, holding->given), about_key = {0};
    char file[HOLDING_FILE_MAX + 1];
    if (holding->given) {
        name_key_file(holding, file);
        about_key = look_at(folder, file, true);
    }
    return !is_same(&about, &holding->about) || !is_same(&about_key, &holding->about_key);
}

/* ---- judging ---- */

enum certificate_match holding_match(const struct holding *holding, const char *host) {
    const char *names = holding->facts.names;
    if (!names)
        return CERTIFICATE_OTHER;
    /*
     * The capsule for visitors who name no host has no name that a certificate could hold. And where a certificate has no
     * subject alternative name, as gencert of gmid and many guides make them, the file's name says whose it is.
     */
    if (strcmp(holding->host, host) == 0 && (names[0] == '\0' || strcmp(host, "default") == 0))
        return CERTIFICATE_EXACT;
    return certificate_match(names, host);
}

static void show_date(time_t moment, char date[static 32]) {
    struct tm when;
    if (!gmtime_r(&moment, &when) || strftime(date, 32, "%Y-%m-%d", &when) == 0)
        strcpy(date, "an unknown date");
}

/* Tells of what clients may take amiss, once. */
static void tell(struct holding *holding, time_t now) {
    const char *file = holding->file;
    char date[32];
    if (holding->told)
        return;
    holding->told = true;
    show_date(holding->facts.begins, date);
    if (holding->facts.begins > now)
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s is not valid before %s, so clients may reject it until then; "
                 "check the clock of this machine",
                 holding->host, file, date);
    if (holding->facts.names[0] == '\0')
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s has no subject alternative name, so some clients reject it on a "
                 "first visit",
                 holding->host, file);
    if (holding->facts.has_unicode)
        log_line(LOG_LEVEL_WARNING,
                 "identity %s: the certificate in %s contains a name with letters outside ASCII, which some clients "
                 "reject; %s",
                 holding->host, file,
                 holding->given ? "install one that spells it as above" : "renew it with: vitrinectl renew");
}

void holding_warn(struct holding *holding) {
    time_t now = time(NULL), ends = holding->facts.ends;
    unsigned stage = certificate_stage(ends, now);
    const char *advice = holding->given ? "install a renewed one" : "renew it with: vitrinectl renew";
    char date[32];
    tell(holding, now);
    if (stage <= holding->warned && stage < 4)
        return;
    holding->warned = stage;
    show_date(ends, date);
    if (stage == 4)
        log_line(LOG_LEVEL_ERROR,
                 "identity %s: the certificate in %s expired on %s; the server still uses it, but clients warn their "
                 "users or reject it; %s",
                 holding->host, holding->file, date, advice);
    else
        log_line(LOG_LEVEL_WARNING, "identity %s: the certificate in %s expires on %s, in %lld days; %s", holding->host,
                 holding->file, date, (long long)((ends - now) / 86400), advice);
}

void holding_dispose(struct holding *holding) {
    if (!holding)
        return;
    identity_dispose(&holding->identity);
    certificate_facts_dispose(&holding->facts);
    free(holding);
}
