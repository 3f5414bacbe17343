/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two spellings of a host name: converting one into the other and back gives the same name. */
#include "fuzz.h"

#include <strings.h>

#include "common/hostname.h"
#include "common/text.h"

static bool is_ascii(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80)
            return false;
    }
    return true;
}

static void check_labels(const char *ascii) {
    HOLDS(is_ascii(ascii) && strlen(ascii) <= HOSTNAME_MAX);
    for (const char *label = ascii;; label++) {
        size_t length = strcspn(label, ".");
        HOLDS(length <= HOSTNAME_LABEL_MAX || strncmp(label, "xn--", 4) != 0);
        label += length;
        if (*label == '\0')
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char ascii[HOSTNAME_MAX + 1], unicode[HOSTNAME_MAX + 1], again[HOSTNAME_MAX + 1];
    char *host = fuzz_string(bytes, size);
    if (strchr(host, '/')) /* neither a request's host nor the name of a folder has one */
        goto end;
    /* Labels that are already encoded, or look so, do not change, so converting back may give another name. */
    if (hostname_to_ascii(ascii, host) && !strstr(host, "xn--")) {
        HOLDS(!is_ascii(host));
        check_labels(ascii);
        /* In UTF-8, a name may be longer than DNS allows for its ASCII spelling. */
        bool fits = strlen(host) <= HOSTNAME_MAX;
        HOLDS(hostname_to_unicode(unicode, ascii) == fits);
        HOLDS(!fits || (hostname_to_ascii(again, unicode) && strcmp(again, ascii) == 0 && strcmp(unicode, host) == 0));
    }
    if (hostname_to_unicode(unicode, host)) {
        HOLDS(strlen(unicode) <= HOSTNAME_MAX);
        HOLDS(text_is_clean(unicode, strlen(unicode)));
        HOLDS(hostname_to_ascii(again, unicode));
        check_labels(again);
        if (is_ascii(host))
            HOLDS(strcasecmp(again, host) == 0);
    }
end:
    free(host);
    return 0;
}
