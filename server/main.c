/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line. */

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands/check.h"
#include "commands/fingerprint.h"
#include "commands/renew.h"
#include "common/log.h"
#include "common/settings_file.h"
#include "keys/key_service.h"
#include "supervisor/supervisor.h"
#include "worker/tls.h"

#ifndef VITRINE_VERSION
#error "VITRINE_VERSION comes from mkosi.version"
#endif

#define CONTENT_DEFAULT "/srv/gemini"
#define SAMPLE_DEFAULT "/usr/share/vitrine/sample"
#define STATE_DEFAULT "/var/lib/vitrine"

/* It fits a screen of 24 lines of 80 columns. */
static const char help[] = "Usage: vitrine serve [--listen ADDR:PORT]... [--content DIR] [--state DIR]\n"
                           "                     [--sample DIR] [--settings FILE] [--keys SOCKET]\n"
                           "       vitrine keys [--state DIR]\n"
                           "       vitrine check [--strict] [--content DIR] [--state DIR] [--settings FILE]\n"
                           "       vitrine fingerprint [--state DIR] [HOST | FILE]...\n"
                           "       vitrine renew [--new-key [--announce]] [--state DIR] HOST\n"
                           "       vitrine --version | --help\n"
                           "\n"
                           "serve        serves the capsules in DIR/HOST/ over Gemini\n"
                           "keys         holds the private keys, as a separate service\n"
                           "check        finds mistakes in settings, metadata, identities and pages\n"
                           "fingerprint  shows what readers can compare: SHA-256 sums and TLSA record\n"
                           "renew        renews a certificate with the same key; with --new-key --announce,\n"
                           "             makes the next key, which a later --new-key starts using\n"
                           "\n"
                           "--listen ADDR:PORT  such as 127.0.0.1:1965 or [::1]:1965; can be repeated\n"
                           "                    (default: sockets from the service manager, or port 1965)\n"
                           "--content DIR       content folder (" CONTENT_DEFAULT ")\n"
                           "--sample DIR        shown while there is no capsule (" SAMPLE_DEFAULT ")\n"
                           "--state DIR         folder for identities ($STATE_DIRECTORY or " STATE_DEFAULT ")\n"
                           "--settings FILE     settings (" SETTINGS_PATH ", if it exists)\n"
                           "--keys SOCKET       key service to use (by default, one is started)\n"
                           "--strict            check: count warnings as errors\n"
                           "See vitrine(8) for more.\n";

static int wrong_usage(const char *what, const char *which) {
    char quoted[256];
    fprintf(stderr, "vitrine: %s %s; see vitrine --help\n", what, log_quote(quoted, sizeof quoted, which));
    return EX_USAGE;
}

/* Reads the value of "--name VALUE" or "--name=VALUE". Returns false if the argument is another option. */
static bool take_value(char **arguments, int *at, const char *name, const char **value) {
    const char *argument = arguments[*at];
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0)
        return false;
    if (argument[length] == '=')
        *value = argument + length + 1;
    else if (argument[length] == '\0')
        *value = arguments[*at + 1] ? arguments[++*at] : "";
    else
        return false;
    return true;
}

/* systemd sets a list with colons if a unit has several state folders; ours has one. */
static const char *default_state(void) {
    const char *folder = getenv("STATE_DIRECTORY");
    return folder && folder[0] == '/' && !strchr(folder, ':') ? folder : STATE_DEFAULT;
}

/*
 * Chooses the scheduler's batch policy, before the server starts other processes. A batch process waits until the
 * running process is done, and then finds more to do at once. A visit wakes a worker three times or more; this saves a
 * seventh of its processor time, and costs no time. Under a service manager, the units set this; there the call is
 * forbidden.
 */
static void be_a_batch(void) {
    const struct sched_param ordinary = {0};
    syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &ordinary); /* musl's own function always fails */
}

static int serve(char **arguments) {
    struct serve_options options = {.content = CONTENT_DEFAULT, .sample = SAMPLE_DEFAULT, .state = default_state()};
    for (int at = 0; arguments[at]; at++) {
        const char *argument = arguments[at], *value = NULL;
        if (take_value(arguments, &at, "--listen", &value)) {
            if (options.listen_count == LISTEN_MAX)
                return wrong_usage("too many addresses, at", value);
            options.listen[options.listen_count++] = value;
        } else if (take_value(arguments, &at, "--content", &value)) {
            options.content = value;
        } else if (take_value(arguments, &at, "--sample", &value)) {
            options.sample = value;
        } else if (take_value(arguments, &at, "--state", &value)) {
            options.state = value;
        } else if (take_value(arguments, &at, "--settings", &value)) {
            options.settings = value;
        } else if (take_value(arguments, &at, "--keys", &value)) {
            options.keys = value;
        } else {
            return wrong_usage("unknown option", argument);
        }
        if (value[0] == '\0')
            return wrong_usage("missing value after", argument);
    }
    be_a_batch();
    return supervisor_serve(&options);
}

static int check(char **arguments) {
    struct check_options options = {.content = CONTENT_DEFAULT, .state = default_state()};
    for (int at = 0; arguments[at]; at++) {
        const char *argument = arguments[at], *value = "-";
        if (strcmp(argument, "--strict") == 0)
            options.strict = true;
        else if (take_value(arguments, &at, "--content", &value))
            options.content = value;
        else if (take_value(arguments, &at, "--state", &value))
            options.state = value;
        else if (take_value(arguments, &at, "--settings", &value))
            options.settings = value;
        else
            return wrong_usage("unknown option", argument);
        if (value[0] == '\0')
            return wrong_usage("missing value after", argument);
    }
    return check_run(&options);
}

/* The commands for identities: keys, fingerprint and renew. */
static int identities(const char *verb, char **arguments) {
    const char *state = default_state();
    struct renewal renewal = {0};
    bool renews = strcmp(verb, "renew") == 0, keys = strcmp(verb, "keys") == 0;
    int hosts = 0;
    for (int at = 0; arguments[at]; at++) {
        char *argument = arguments[at];
        if (renews && strcmp(argument, "--new-key") == 0)
            renewal.new_key = true;
        else if (renews && strcmp(argument, "--announce") == 0)
            renewal.announce = true;
        else if (!keys && argument[0] != '-')
            arguments[hosts++] = argument;
        else if (!take_value(arguments, &at, "--state", &state))
            return wrong_usage("unknown option", argument);
        if (state[0] == '\0')
            return wrong_usage("missing value after", argument);
    }
    arguments[hosts] = NULL;
    if (keys) {
        be_a_batch();
        return keys_service(state);
    }
    if (!renews)
        return fingerprint(state, arguments);
    if (hosts != 1)
        return wrong_usage("expected one host after", verb);
    if (renewal.announce && !renewal.new_key)
        return wrong_usage("--new-key is required with", "--announce");
    renewal.host = arguments[0];
    return renew(state, &renewal);
}

int main(int count, char **arguments) {
    log_open();
    /* An init is started without a command; its arguments are meant for other kinds of init. */
    if (getpid() == 1 && (count < 2 || strcmp(arguments[1], "serve") != 0))
        return serve(&arguments[count]);
    if (count < 2) {
        fprintf(stderr, "vitrine: missing command, such as vitrine serve; see vitrine --help\n");
        return EX_USAGE;
    }
    const char *verb = arguments[1];
    if (strcmp(verb, "serve") == 0)
        return serve(&arguments[2]);
    if (strcmp(verb, "check") == 0)
        return check(&arguments[2]);
    if (strcmp(verb, "keys") == 0 || strcmp(verb, "fingerprint") == 0 || strcmp(verb, "renew") == 0)
        return identities(verb, &arguments[2]);
    if (strcmp(verb, "--version") == 0 || strcmp(verb, "version") == 0) {
        printf("vitrine " VITRINE_VERSION " (wolfSSL %s)\n", tls_library_version());
        return log_printed() ? EX_OK : EX_IOERR;
    }
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0) {
        fputs(help, stdout);
        return log_printed() ? EX_OK : EX_IOERR;
    }
    return wrong_usage("unknown command", verb);
}
