/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "certificate.h"

#include <stdlib.h>
#include <string.h>

/* Where a host stands in the list, or would stand. */
static size_t place_of(const struct certificates *certificates, const char *host, bool *there) {
    size_t low = 0, high = certificates->count;
    *there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(host, certificates->list[middle].host);
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool certificates_add(struct certificates *certificates, const struct certificate *certificate) {
    bool there;
    size_t at = place_of(certificates, certificate->host, &there);
    char *chain = malloc(certificate->chain_size + 1);
    if (!chain)
        return false;
    memcpy(chain, certificate->chain, certificate->chain_size);
    chain[certificate->chain_size] = '\0';
    if (there) {
        free(certificates->list[at].chain);
    } else {
        struct certificate *list = reallocarray(certificates->list, certificates->count + 1, sizeof *list);
        if (!list) {
            free(chain);
            return false;
        }
        memmove(list + at + 1, list + at, (certificates->count - at) * sizeof *list);
        certificates->list = list;
        certificates->count++;
    }
    certificates->list[at] = *certificate;
    certificates->list[at].chain = chain;
    return true;
}

const struct certificate *certificates_find(const struct certificates *certificates, const char *host) {
    bool there;
    size_t at = place_of(certificates, host, &there);
    return there ? &certificates->list[at] : NULL;
}

void certificates_dispose(struct certificates *certificates) {
    for (size_t i = 0; i < certificates->count; i++)
        free(certificates->list[i].chain);
    free(certificates->list);
    *certificates = (struct certificates){0};
}
