/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "generation.h"

#include <string.h>
#include <sysexits.h>

#include "keys.h"
#include "log.h"
#include "settings_file.h"

int generation_open(struct generation *generation, const struct generation_sources *sources) {
    memset(generation, 0, sizeof *generation);
    generation->capsules.folder = -1;
    int status = settings_read(&generation->settings, sources->settings);
    if (status != EX_OK)
        return status;
    int result = capsules_open(&generation->capsules, sources->content);
    if (result < 0) {
        generation->capsules.folder = -1;
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s; name one with --content", sources->content,
                 strerror(-result));
        return EX_NOINPUT;
    }
    return EX_OK;
}

/* What provide_identity works on. */
struct provision {
    struct generation *generation;
    int control;
    bool silent; /* the key process; then there is nothing to be waited for with the other hosts */
};

static void provide_identity(const char *host, void *context) {
    struct provision *provision = context;
    if (provision->silent)
        return;
    provision->generation->capsule_count++;
    provision->silent = keys_provide(provision->control, host, &provision->generation->certificates) == KEYS_SILENT;
}

/* Clients without a server name get the identity of `default`, else of `localhost`, else the first. */
static const char *choose_fallback(const struct certificates *certificates) {
    const struct certificate *fallback = certificates_find(certificates, "default");
    if (!fallback)
        fallback = certificates_find(certificates, "localhost");
    return fallback ? fallback->host : certificates->list[0].host;
}

int generation_identify(struct generation *generation, const struct generation_sources *sources, int control) {
    struct provision provision = {.generation = generation, .control = control};
    int result = capsules_each_host(&generation->capsules, provide_identity, &provision);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s", sources->content, strerror(-result));
        return EX_NOINPUT;
    }
    if (result == 0) {
        log_line(LOG_LEVEL_ERROR,
                 "content folder %s holds no capsule; make a folder in it that is named like your host",
                 sources->content);
        return EX_NOINPUT;
    }
    if (provision.silent)
        return EX_UNAVAILABLE;
    if (generation->certificates.count == 0) {
        log_line(LOG_LEVEL_ERROR, "no capsule has an identity that can be used; the lines above say why");
        return EX_CANTCREAT;
    }
    generation->fallback = choose_fallback(&generation->certificates);
    return EX_OK;
}

void generation_dispose(struct generation *generation) {
    certificates_dispose(&generation->certificates);
    if (generation->capsules.folder >= 0)
        capsules_close(&generation->capsules);
    generation->capsules.folder = -1;
}
