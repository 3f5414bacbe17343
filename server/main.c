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
#include "commands/probe.h"
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
#ifndef SAMPLE_DEFAULT
#define SAMPLE_DEFAULT "/usr/share/vitrine/sample"
#endif
#define STATE_DEFAULT "/var/lib/vitrine"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int serve(char **arguments), keys(char **arguments), check(char **arguments),
    show_fingerprints(char **arguments), renew_identity(char **arguments), probe_server(char **arguments),
    show_version(char **arguments), show_help(char **arguments);

/* The commands. usage and purpose are for the help; their further lines contain their own indentation. */
static const struct verb {
    const char *name;
    int (*run)(char **arguments); /* takes the arguments after the command; returns the exit status */
    const char *usage, *purpose;
} verbs[] = {
    {"serve", serve,
     "[--listen ADDR:PORT]... [--content DIR] [--state DIR]\n"
     "                     [--sample DIR] [--settings FILE] [--keys SOCKET]",
     "serves the capsules in DIR/HOST/ over Gemini"},
    {"keys", keys, "[--listen PATH] [--state DIR]", "holds the private keys, as a separate service"},
    {"check", check, "[--strict] [--content DIR] [--state DIR] [--settings FILE]",
     "finds mistakes in settings, metadata, identities and pages"},
    {"fingerprint", show_fingerprints, "[--state DIR] [HOST | FILE]...",
     "shows what readers can compare: SHA-256 sums and TLSA record"},
    {"renew", renew_identity, "[--new-key [--announce]] [--state DIR] HOST",
     "renews a certificate, with the same key or an announced one"},
    {"probe", probe_server, "[--address ADDR:PORT] HOST",
     "asks the server for a page (health check; at " PROBE_ADDRESS_DEFAULT ")"},
    {"--version", show_version, NULL, NULL},
    {"--help", show_help, NULL, NULL},
    {"-h", show_help, NULL, NULL},
    {"version", show_version, NULL, NULL},
    {"help", show_help, NULL, NULL},
};

/* Together with the commands, this fits on a terminal of 80 columns and 24 lines. */
static const char options_help[] = "--listen ADDR:PORT  such as 127.0.0.1:1965 or [::1]:1965; can be repeated\n"
                                   "                    (default: sockets from the service manager, or port 1965)\n"
                                   "--content DIR       content folder (" CONTENT_DEFAULT ")\n"
                                   "--sample DIR        shown while there is no capsule (" SAMPLE_DEFAULT ")\n"
                                   "--state DIR         folder for identities ($STATE_DIRECTORY or " STATE_DEFAULT ")\n"
                                   "--settings FILE     settings (" SETTINGS_PATH ", if it exists)\n"
                                   "--keys SOCKET       key service to use (by default, one is started)\n"
                                   "See vitrine(8) for more.\n";

static int wrong_usage(const char *what, const char *which) {
    char quoted[256];
    fprintf(stderr, "vitrine: %s %s; see vitrine --help\n", what, log_quote(quoted, sizeof quoted, which));
    return EX_USAGE;
}

/* An option: a flag, or a value. Of several values for one place, the last one counts. */
struct option {
    const char *name;
    bool *flag;          /* NULL: it has a value */
    const char **values; /* room for `most` of them */
    size_t most, *count; /* count: how many there are; NULL: room for one */
};

#define FLAG(name, flag) ((struct option){name, flag, NULL, 0, NULL})
#define VALUE(name, value) ((struct option){name, NULL, value, 1, NULL})

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

/* Takes the option at `*at`. Returns EX_OK, or EX_USAGE after saying why. */
static int read_option(char **arguments, int *at, const struct option *options, size_t count) {
    const char *argument = arguments[*at], *value;
    for (const struct option *option = options; option < options + count; option++) {
        if (option->flag && strcmp(argument, option->name) == 0) {
            *option->flag = true;
            return EX_OK;
        }
        if (option->flag || !take_value(arguments, at, option->name, &value))
            continue;
        if (value[0] == '\0')
            return wrong_usage("missing value after", argument);
        if (option->count && *option->count == option->most)
            return wrong_usage("too many addresses, at", value);
        option->values[option->count ? (*option->count)++ : 0] = value;
        return EX_OK;
    }
    return wrong_usage(argument[0] == '-' ? "unknown option" : "unexpected argument", argument);
}

/*
 * Reads the options of a command. operands: NULL if it takes none; else arguments that are not options are moved to
 * the beginning of `arguments`, and *operands is their number. Returns EX_OK, or EX_USAGE after saying why.
 */
static int read_arguments(char **arguments, const struct option *options, size_t count, size_t *operands) {
    int status = EX_OK;
    size_t kept = 0;
    for (int at = 0; arguments[at] && status == EX_OK; at++) {
        if (operands && arguments[at][0] != '-')
            arguments[kept++] = arguments[at];
        else
            status = read_option(arguments, &at, options, count);
    }
    if (operands && status == EX_OK) {
        arguments[kept] = NULL;
        *operands = kept;
    }
    return status;
}

/* systemd sets a list with colons if a unit has several state folders; ours has one. */
static const char *default_state(void) {
    const char *folder = getenv("STATE_DIRECTORY");
    return folder && folder[0] == '/' && !strchr(folder, ':') ? folder : STATE_DEFAULT;
}

/*
 * Chooses the scheduler's batch policy, before the server starts other processes. A batch process waits until the
 * running process is done, and then finds more work at once. A visit wakes a worker at least three times; this saves a
 * seventh of its processor time, and delays nothing. Under a service manager, the units set this policy, and this call
 * is forbidden.
 */
static void be_a_batch(void) {
    const struct sched_param ordinary = {0};
    syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &ordinary); /* musl's own function always fails */
}

static int serve(char **arguments) {
    struct serve_options options = {.content = CONTENT_DEFAULT, .sample = SAMPLE_DEFAULT, .state = default_state()};
    const struct option known[] = {
        {"--listen", NULL, options.listen, LISTEN_MAX, &options.listen_count},
        VALUE("--content", &options.content),
        VALUE("--sample", &options.sample),
        VALUE("--state", &options.state),
        VALUE("--settings", &options.settings),
        VALUE("--keys", &options.keys),
    };
    int status = read_arguments(arguments, known, COUNT(known), NULL);
    if (status != EX_OK)
        return status;
    be_a_batch();
    return supervisor_serve(&options);
}

static int keys(char **arguments) {
    const char *state = default_state(), *path = NULL;
    size_t paths = 0;
    const struct option known[] = {VALUE("--state", &state), {"--listen", NULL, &path, 1, &paths}};
    int status = read_arguments(arguments, known, COUNT(known), NULL);
    if (status != EX_OK)
        return status;
    be_a_batch();
    return key_service_run(state, path);
}

static int check(char **arguments) {
    struct check_options options = {.content = CONTENT_DEFAULT, .state = default_state()};
    const struct option known[] = {
        FLAG("--strict", &options.strict),
        VALUE("--content", &options.content),
        VALUE("--state", &options.state),
        VALUE("--settings", &options.settings),
    };
    int status = read_arguments(arguments, known, COUNT(known), NULL);
    return status != EX_OK ? status : check_run(&options);
}

static int show_fingerprints(char **arguments) {
    const char *state = default_state();
    const struct option known[] = {VALUE("--state", &state)};
    size_t hosts;
    int status = read_arguments(arguments, known, COUNT(known), &hosts);
    return status != EX_OK ? status : fingerprint(state, arguments);
}

static int renew_identity(char **arguments) {
    const char *state = default_state();
    struct renewal renewal = {0};
    const struct option known[] = {
        VALUE("--state", &state),
        FLAG("--new-key", &renewal.new_key),
        FLAG("--announce", &renewal.announce),
    };
    size_t hosts;
    int status = read_arguments(arguments, known, COUNT(known), &hosts);
    if (status != EX_OK)
        return status;
    if (hosts != 1)
        return wrong_usage("expected one host after", "renew");
    if (renewal.announce && !renewal.new_key)
        return wrong_usage("--new-key is required with", "--announce");
    renewal.host = arguments[0];
    return renew(state, &renewal);
}

static int probe_server(char **arguments) {
    const char *address = PROBE_ADDRESS_DEFAULT;
    const struct option known[] = {VALUE("--address", &address)};
    size_t hosts;
    int status = read_arguments(arguments, known, COUNT(known), &hosts);
    if (status != EX_OK)
        return status;
    return hosts == 1 ? probe(address, arguments[0]) : wrong_usage("expected one host after", "probe");
}

static int show_version(char **arguments) {
    (void)arguments;
    printf("vitrine " VITRINE_VERSION " (wolfSSL %s)\n", tls_library_version());
    return log_printed() ? EX_OK : EX_IOERR;
}

static int show_help(char **arguments) {
    (void)arguments;
    for (size_t i = 0; i < COUNT(verbs) && verbs[i].usage; i++)
        printf("%s vitrine %s %s\n", i == 0 ? "Usage:" : "      ", verbs[i].name, verbs[i].usage);
    puts("       vitrine --version | --help\n");
    for (size_t i = 0; i < COUNT(verbs) && verbs[i].usage; i++)
        printf("%-12s %s\n", verbs[i].name, verbs[i].purpose);
    printf("\n%s", options_help);
    return log_printed() ? EX_OK : EX_IOERR;
}

static const struct verb *verb_named(const char *name) {
    for (size_t i = 0; i < COUNT(verbs); i++) {
        if (strcmp(name, verbs[i].name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static bool is_help(const char *argument) {
    const struct verb *verb = verb_named(argument);
    return verb && verb->run == show_help;
}

int main(int count, char **arguments) {
    const struct verb *verb = count < 2 ? NULL : verb_named(arguments[1]);
    log_open();
    tls_take_memory();
    if (verb && count == 3 && is_help(arguments[2])) /* as in vitrine serve --help */
        return show_help(NULL);
    if (verb)
        return verb->run(&arguments[2]);
    /* An init is started without a command; its arguments are meant for other kinds of init. */
    if (getpid() == 1)
        return serve(&arguments[count]);
    if (count < 2) {
        fprintf(stderr, "vitrine: missing command, such as vitrine serve; see vitrine --help\n");
        return EX_USAGE;
    }
    return wrong_usage("unknown command", arguments[1]);
}
