/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check_identities.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/directory.h"
#include "fingerprint.h"
#include "keys/identity_file.h"
#include "protocol/certificate.h"

#define SOON (60 * 86400) /* seconds before a certificate expires */

/* name: a file with a given identity, or one in the state folder. */
static void judge_certificate(struct check *check, const char *path, const char *name, bool given,
                              const struct certificate_facts *facts) {
    const char *advice = given ? "install a renewed one" : "renew it with: vitrinectl renew";
    char host[HOSTNAME_MAX + 1];
    long long now = (long long)time(NULL), left = (long long)facts->ends - now;
    if (left < 0)
        find_fault(check, path, 0, ERROR,
                   "the certificate expired %lld days ago; the server still uses it, and clients warn their users; %s",
                   -left / 86400, advice);
    else if (left < SOON)
        find_fault(check, path, 0, WARNING, "the certificate expires in %lld days; %s", left / 86400, advice);
    if ((long long)facts->begins > now)
        find_fault(check, path, 0, WARNING, "the certificate is not valid yet; check the clock of this machine");
    if (facts->has_unicode)
        find_fault(check, path, 0, WARNING,
                   "the certificate contains a name with letters outside ASCII, which some clients reject; %s",
                   given ? "install one that spells it as in DNS (xn--...)" : advice);
    if (facts->names[0] == '\0')
        find_fault(check, path, 0, WARNING,
                   "the certificate has no subject alternative name, so some clients reject it");
    else if (identity_file_host_of(name, given, host) && strcmp(host, "default") != 0 &&
             certificate_match(facts->names, host) == CERTIFICATE_OTHER)
        find_fault(check, path, 0, given ? ERROR : WARNING, "the certificate does not name its host%s",
                   given ? ", so the server does not use it" : ", so some clients reject it");
}

static void check_identity(struct check *check, int folder, const char *folder_name, const char *name, bool given) {
    char path[PATH_MAX];
    struct certificate_facts facts;
    snprintf(path, sizeof path, "%s/%s", folder_name, name);
    if (faccessat(folder, name, R_OK, 0) < 0 && errno == EACCES)
        return; /* not readable by everybody */
    /* This does not read a private key after the certificate. */
    const char *problem = fingerprint_examine(folder, name, &facts);
    if (problem) {
        find_fault(check, path, 0, ERROR, "%s", problem);
        return;
    }
    judge_certificate(check, path, name, given, &facts);
    certificate_facts_dispose(&facts);
}

void check_identities(struct check *check, int folder, const char *folder_name, bool given) {
    char **names;
    long count = folder < 0 ? 0 : directory_read(folder, &names);
    for (long i = 0; i < count; i++) {
        const char *ending = strrchr(names[i], '.');
        bool is_ours = given ? strncmp(names[i], "identity", 8) == 0 : true;
        if (is_ours && ending && strcmp(ending, IDENTITY_FILE_PRESENT) == 0)
            check_identity(check, folder, folder_name, names[i], given);
    }
    if (count > 0)
        directory_dispose(names, count);
}

void check_given(struct check *check) {
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    int folder = credentials ? open(credentials, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    check_identities(check, folder, credentials, true);
    if (folder >= 0)
        close(folder);
}
