/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "generation.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/directory.h"
#include "common/hostname.h"
#include "common/log.h"
#include "common/settings_file.h"
#include "common/systemd.h"
#include "common/text.h"
#include "content/closed.h"
#include "content/uri_host.h"
#include "keys/key_client.h"

/* A page directly in the content folder: the owner took that folder for the capsule. */
static void warn_of_lost_page(struct generation *generation, const struct generation_sources *sources) {
    static const char *const pages[] = {"index.gmi", "index.gemini"};
    struct stat status;
    for (size_t i = 0; i < sizeof pages / sizeof *pages && !generation->has_lost_page; i++) {
        if (fstatat(generation->capsules.folder, pages[i], &status, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(status.st_mode))
            continue;
        generation->has_lost_page = true;
        log_line(LOG_LEVEL_WARNING,
                 "%s/%s belongs to no host and is not served; move your pages into a folder in %s with the name of "
                 "your host",
                 sources->content, pages[i], sources->content);
    }
}

static void warn_of_closed(struct generation *generation, const struct generation_sources *sources) {
    struct closed closed;
    char quoted[CLOSED_PATH_SIZE * 4];
    closed_find(&closed, generation->capsules.folder);
    generation->closed_count = closed.count;
    if (closed.count > 0)
        log_line(LOG_LEVEL_WARNING,
                 "the server cannot read %zu file%s or folder%s of capsules, such as %s; to open them, run: "
                 "chmod -R o+rX %s",
                 closed.count, text_plural(closed.count), text_plural(closed.count),
                 log_quote(quoted, sizeof quoted, closed.first), sources->content);
}

int generation_open(struct generation *generation, const struct generation_sources *sources) {
    memset(generation, 0, sizeof *generation);
    generation->capsules.folder = -1;
    generation->certificates.generation = clock_microseconds();
    int status = settings_read(&generation->settings, sources->settings);
    if (status != EX_OK)
        return status;
    int result = capsules_open(&generation->capsules, sources->content);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s; name another with --content", sources->content,
                 strerror(-result));
        return EX_NOINPUT;
    }
    warn_of_lost_page(generation, sources);
    warn_of_closed(generation, sources);
    return EX_OK;
}

/* The context of note_host and note_answer. */
struct provision {
    struct generation *generation;
    char **hosts; /* canonical; one may be there twice, from two spellings of its folder */
    size_t count;
    bool unusable; /* one of the identities */
};

/* Writes the host of a capsule's folder. Returns false if no client can ask for it. */
static bool host_of(const char *folder, char host[static HOSTNAME_MAX + 1]) {
    char authority[URI_HOST_SIZE];
    return uri_host_write(authority, folder) && hostname_canonical(host, folder);
}

static bool is_capsule(const char *folder) {
    return strcmp(folder, "lost+found") != 0;
}

static void note_host(const char *folder, void *context) {
    struct provision *provision = context;
    char host[HOSTNAME_MAX + 1];
    if (!is_capsule(folder))
        return;
    if (!host_of(folder, host)) {
        char quoted[512];
        provision->generation->unnamed_count++;
        log_line(LOG_LEVEL_WARNING,
                 "folder %s does not have the name of a host, so no client can ask for it; rename it to the name of "
                 "your host, "
                 "in lower case",
                 log_quote(quoted, sizeof quoted, folder));
        return;
    }
    provision->generation->capsule_count++;
    if (directory_append(&provision->hosts, &provision->count, host) != 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: out of memory", host);
}

#define PREPARED_BETWEEN 256 /* hosts: a second of work on the slowest machines */

/*
 * Announces which hosts are new, so that their identities are written to disk at once. There may be thousands of them,
 * so this also tells the service manager that the start is not hanging.
 */
static void prepare_identities(const struct provision *provision, const struct certificates *present, int control) {
    size_t prepared = 0;
    for (size_t i = 0; i < provision->count; i++) {
        if (present && certificates_find(present, provision->hosts[i]))
            continue;
        key_client_prepare(control, provision->hosts[i]);
        if (++prepared % PREPARED_BETWEEN == 0)
            systemd_notify("EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1");
    }
}

static void note_answer(const char *host, enum key_client_answer answer, void *context) {
    struct provision *provision = context;
    if (answer == KEY_CLIENT_PROVIDED)
        return;
    provision->unusable |= answer == KEY_CLIENT_UNUSABLE;
    if (!certificates_bar(&provision->generation->certificates, host))
        log_line(LOG_LEVEL_ERROR, "identity %s: out of memory", host);
}

/*
 * Clients without a known server name get the identity of `default`, or else of `localhost`, or else the first usable
 * one. If that of `default` or `localhost` exists but cannot be used, they get none: another one must not replace it.
 */
static const char *choose_fallback(const struct certificates *certificates) {
    const struct certificate *fallback = certificates_find(certificates, "default");
    if (!fallback)
        fallback = certificates_find(certificates, "localhost");
    for (size_t i = 0; !fallback; i++) {
        if (certificates->list[i].chain)
            fallback = &certificates->list[i];
    }
    return fallback->host;
}

/* Shows the sample, because there is no capsule. Returns as generation_identify. */
static int show_sample(struct generation *generation, const struct generation_sources *sources, int control) {
    capsules_close(&generation->capsules);
    if (capsules_open(&generation->capsules, sources->sample) < 0) {
        log_line(LOG_LEVEL_ERROR,
                 "content folder %s contains no capsule; create a folder in it with the name of your host",
                 sources->content);
        return EX_NOINPUT;
    }
    switch (key_client_provide_sample(control, SAMPLE_HOST, &generation->certificates)) {
    case KEY_CLIENT_PROVIDED:
        break;
    case KEY_CLIENT_SILENT:
        return EX_UNAVAILABLE;
    case KEY_CLIENT_UNUSABLE:
        return EX_DATAERR;
    default:
        log_line(LOG_LEVEL_ERROR,
                 "content folder %s contains no capsule, but there are identities for other hosts; put their pages "
                 "there, then start or reload again",
                 sources->content);
        return EX_NOINPUT;
    }
    generation->capsules.only = SAMPLE_HOST;
    generation->capsule_count = 1;
    generation->is_sample = true;
    generation->fallback = certificates_find(&generation->certificates, SAMPLE_HOST)->host;
    log_line(LOG_LEVEL_WARNING,
             "content folder %s contains no capsule, so every name shows the sample; put your pages into a folder in "
             "it with the name of your host, then reload",
             sources->content);
    return EX_OK;
}

int generation_identify(struct generation *generation, const struct generation_sources *sources, int control) {
    struct provision provision = {.generation = generation};
    key_client_refresh(control);
    int result = capsules_each_host(&generation->capsules, note_host, &provision);
    prepare_identities(&provision, sources->present, control);
    bool answers = key_client_provide(control, provision.hosts, provision.count, &generation->certificates, note_answer,
                                      &provision);
    directory_dispose(provision.hosts, (long)provision.count);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s", sources->content, strerror(-result));
        return EX_NOINPUT;
    }
    if (!answers)
        return EX_UNAVAILABLE;
    if (generation->capsule_count == 0)
        return show_sample(generation, sources, control);
    if (generation->certificates.count == generation->certificates.barred) {
        log_line(LOG_LEVEL_ERROR, "no capsule has a usable identity; the lines above say why");
        return provision.unusable ? EX_DATAERR : EX_CANTCREAT;
    }
    if (generation->certificates.barred > 0)
        log_line(LOG_LEVEL_ERROR,
                 "hosts without a usable identity: %zu; their handshakes are refused, and the lines above say why",
                 generation->certificates.barred);
    generation->fallback = choose_fallback(&generation->certificates);
    return EX_OK;
}

void generation_dispose(struct generation *generation) {
    certificates_dispose(&generation->certificates);
    if (generation->capsules.folder >= 0)
        capsules_close(&generation->capsules);
    generation->capsules.folder = -1;
}
