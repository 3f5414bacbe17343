/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/settings.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings_file.h"
#include "logged.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Records the faults as "LINE: PROBLEM;". */
static void note_fault(unsigned line, const char *problem, void *context) {
    char *faults = context;
    cr_expect_str_not_empty(problem);
    cr_expect_null(strchr(problem, '\n'));
    sprintf(faults + strlen(faults), "%u: %s;", line, problem);
}

static int parse(struct settings *settings, const char *text, char faults[static 8192]) {
    size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1); /* without NUL after it */
    cr_assert_not_null(copy);
    memcpy(copy, text, length);
    faults[0] = '\0';
    memset(settings, 0xa5, sizeof(*settings));
    int result = settings_parse(settings, copy, length, note_fault, faults);
    free(copy);
    return result;
}

static void expect_defaults(const struct settings *settings) {
    cr_expect_eq(settings->advertised_ports.count, 0);
    cr_expect_eq(settings->min_tls, SETTINGS_TLS_1_2);
    cr_expect_str_empty(settings->language);
    cr_expect_eq(settings->log_addresses, LOG_ADDRESSES_OFF);
    cr_expect_eq(settings->proxy_ports.count, 0);
    cr_expect_eq(settings->max_connections, 650);
    cr_expect_eq(settings->max_connections_per_address, 32);
    cr_expect_eq(settings->max_connections_from_loopback, 325);
    cr_expect_eq(settings->max_handshakes_per_minute, 600);
    cr_expect_eq(settings->max_requests_per_minute, 300);
    cr_expect_eq(settings->handshake_timeout, 10000);
    cr_expect_eq(settings->request_timeout, 10000);
    cr_expect_eq(settings->reply_timeout, 20000);
    cr_expect_eq(settings->log_requests, LOG_REQUESTS_ALL);
    cr_expect_eq(settings->stop_delay, 0);
    cr_expect_eq(settings->workers, 0);
}

Test(settings, defaults) {
    static const char *const files[] = {"", "\n\n", "# comment\n  # comment\n\t\r\n", "\xef\xbb\xbf# comment"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct settings settings;
        char faults[8192];
        cr_expect_eq(parse(&settings, files[i], faults), 0, "%s", faults);
        expect_defaults(&settings);
    }
}

/* The settings file in packages, with every line enabled: the defaults, except for settings without one. */
Test(settings, defaults_of_packages) {
    FILE *file = popen("awk -f host/packages/settings.awk server/man/vitrine.conf.5", "r");
    cr_assert_not_null(file);
    char line[256], text[8192] = "", faults[8192];
    unsigned count = 0, without = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] != '#' || line[1] < 'a' || line[1] > 'z')
            continue;
        count++;
        if (strstr(line, " =\n") != NULL)
            without++;
        else
            strcat(text, line + 1);
    }
    cr_expect_eq(pclose(file), 0);
    cr_expect_eq(count, 16);
    cr_expect_eq(without, 4); /* both lists of ports, the language, and the workers */
    struct settings settings;
    cr_expect_eq(parse(&settings, text, faults), 0, "%s", faults);
    expect_defaults(&settings);
}

/* Does this setting accept this value? */
static bool is_valid(const char *key, const char *value) {
    char line[128], faults[8192];
    struct settings settings;
    snprintf(line, sizeof line, "%s = %s", key, value);
    return parse(&settings, line, faults) == 0;
}

/* Changes the last number in a value: "100ms" becomes "99ms". */
static void change(char changed[static 64], const char *value, long by) {
    size_t end = strlen(value), start;
    while (end > 0 && strspn(value + end - 1, "0123456789") == 0)
        end--;
    for (start = end; start > 0 && strspn(value + start - 1, "0123456789") > 0;)
        start--;
    snprintf(changed, 64, "%.*s%ld%s", (int)start, value, strtol(value + start, NULL, 10) + by, value + end);
}

/* The table in docs/SPECIFICATION.md: each default, both ends of each range, and the values just outside. */
Test(settings, they_are_as_the_specification_says) {
    FILE *file = fopen("docs/SPECIFICATION.md", "r");
    char line[512], key[64], usual[64], least[64], most[64], other[64], all[1024] = "", faults[8192];
    unsigned count = 0;
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) && strcmp(line, "| setting | default | least | most |\n") != 0)
        ;
    cr_assert_not_null(fgets(line, sizeof line, file), "the page has no table of settings");
    while (fgets(line, sizeof line, file) &&
           sscanf(line, "| %63s | %63s | %63s | %63s |", key, usual, least, most) == 4) {
        count++;
        if (strcmp(usual, "none") != 0)
            sprintf(all + strlen(all), "%s = %s\n", key, usual);
        if (strcmp(least, "-") == 0)
            continue;
        cr_expect(is_valid(key, least) && is_valid(key, most), "%s is refused at the end of its range", key);
        change(other, least, -1);
        cr_expect_not(is_valid(key, other), "%s = %s is taken", key, other);
        change(other, most, 1);
        cr_expect_not(is_valid(key, other), "%s = %s is taken", key, other);
    }
    fclose(file);
    cr_expect_eq(count, 16);
    struct settings settings;
    cr_expect_eq(parse(&settings, all, faults), 0, "%s", faults);
    expect_defaults(&settings);
}

Test(settings, every_key) {
    static const char file[] = "\xef\xbb\xbf"
                               "advertised-ports = 1965 7070,80 ,  443 80\n"
                               "min-tls=1.3\r\n"
                               "  language = en , de-AT,fr  \n"
                               "# log-addresses = off\n"
                               "log-addresses = hashed\n"
                               "proxy-ports = 7070\n"
                               "max-connections = 1\n"
                               "max-connections-per-address = 1000000\n"
                               "max-connections-from-loopback = 7\n"
                               "max-handshakes-per-minute = 1000000\n"
                               "max-requests-per-minute = 17\n"
                               "handshake-timeout = 100ms\n"
                               "request-timeout = 60 min\n"
                               "log-requests = errors\n"
                               "stop-delay = 5s\n"
                               "workers = 64\n"
                               "reply-timeout = 3s";
    struct settings settings;
    char faults[8192];
    cr_assert_eq(parse(&settings, file, faults), 0, "%s", faults);
    cr_expect_eq(settings.advertised_ports.count, 4);
    cr_expect(settings_has_port(&settings.advertised_ports, 1965));
    cr_expect(settings_has_port(&settings.advertised_ports, 443));
    cr_expect_not(settings_has_port(&settings.advertised_ports, 1966));
    cr_expect_eq(settings.min_tls, SETTINGS_TLS_1_3);
    cr_expect_str_eq(settings.language, "en,de-AT,fr");
    cr_expect_eq(settings.log_addresses, LOG_ADDRESSES_HASHED);
    cr_expect(settings_has_port(&settings.proxy_ports, 7070));
    cr_expect_eq(settings.max_connections, 1);
    cr_expect_eq(settings.max_connections_per_address, 1000000);
    cr_expect_eq(settings.max_connections_from_loopback, 7);
    cr_expect_eq(settings.max_handshakes_per_minute, 1000000);
    cr_expect_eq(settings.max_requests_per_minute, 17);
    cr_expect_eq(settings.handshake_timeout, 100);
    cr_expect_eq(settings.request_timeout, 3600000);
    cr_expect_eq(settings.reply_timeout, 3000);
    cr_expect_eq(settings.log_requests, LOG_REQUESTS_ERRORS);
    cr_expect_eq(settings.stop_delay, 5000);
    cr_expect_eq(settings.workers, 64);
}

Test(settings, values) {
    static const struct {
        const char *line;
        bool valid;
    } cases[] = {
        {"log-addresses = off", true},
        {"log-addresses = partial", true},
        {"log-addresses = full", true},
        {"log-addresses = Full", false},
        {"log-addresses = yes", false},
        {"log-addresses =", false},
        {"log-requests = all", true},
        {"log-requests = errors", true},
        {"log-requests = none", false},
        {"log-requests = Errors", false},
        {"log-requests =", false},
        {"stop-delay = 0s", true},
        {"stop-delay = 0ms", true},
        {"stop-delay = 60min", true},
        {"stop-delay = 61min", false},
        {"stop-delay = 0", false},
        {"stop-delay = -1s", false},
        {"stop-delay = soon", false},
        {"workers = 1", true},
        {"workers = 64", true},
        {"workers = 0", false},
        {"workers = 65", false},
        {"workers = all", false},
        {"min-tls = 1.2", true},
        {"min-tls = 1.1", false},
        {"min-tls = 1.30", false},
        {"min-tls = TLS1.3", false},
        {"language = en", true},
        {"language = x-private", true},
        {"language = en_GB", false},
        {"language = en,", false},
        {"language = ,en", false},
        {"language = en fr", false},
        {"language = \"en\"", false},
        {"language =", false},
        {"advertised-ports = 65535", true},
        {"advertised-ports = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", true},
        {"advertised-ports = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", false},
        {"advertised-ports = 0", false},
        {"advertised-ports = 65536", false},
        {"advertised-ports = 4294967297", false},
        {"advertised-ports = -1", false},
        {"advertised-ports = 1965x", false},
        {"advertised-ports = 1965,", false},
        {"advertised-ports = 1965,,7070", false},
        {"advertised-ports =", false},
        {"max-connections = 0", false},
        {"max-connections-from-loopback = 0", false},
        {"max-connections-from-loopback = 1", true},
        {"max-handshakes-per-minute = 0", true},
        {"max-handshakes-per-minute = 1000001", false},
        {"max-connections = 1000001", false},
        {"max-connections = 99999999999999999999999", false},
        {"max-connections = 1e3", false},
        {"max-connections = +1", false},
        {"max-connections = many", false},
        {"max-requests-per-minute = 0", true},
        {"max-requests-per-minute = ", false},
        {"reply-timeout = 1min", true},
        {"reply-timeout = 10", false},
        {"reply-timeout = 10h", false},
        {"reply-timeout = 99ms", false},
        {"reply-timeout = 0s", false},
        {"reply-timeout = 61min", false},
        {"reply-timeout = 3600001ms", false},
        {"reply-timeout = 99999999999999min", false},
        {"reply-timeout = s", false},
        {"reply-timeout = 1s # comment", false},
        {"unknown = 1", false},
        {"Min-TLS = 1.3", false},
        {"min_tls = 1.3", false},
        {"= 1", false},
        {"=", false},
        {"min-tls", false},
        {"min-tls: 1.3", false},
        {"[section]", false},
        {"\xff", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct settings settings;
        char text[512], faults[8192];
        snprintf(text, sizeof(text), "\n%s\n# the end\n", cases[i].line);
        cr_expect_eq(parse(&settings, text, faults), cases[i].valid ? 0 : 1, "%s: %s", cases[i].line, faults);
        if (!cases[i].valid)
            cr_expect(strncmp(faults, "2: ", 3) == 0, "%s: %s", cases[i].line, faults);
    }
}

Test(settings, faults_name_what_is_wrong) {
    static const char file[] = "min-tls = 1.1\n"
                               "colour = \x1b[31m\n"
                               "language = en\n"
                               "language = fr\n"
                               "nonsense\n"
                               "= 7\n";
    struct settings settings;
    char faults[8192];
    cr_expect_eq(parse(&settings, file, faults), 5);
    cr_expect_str_eq(faults,
                     "1: \"1.1\" is not a valid value for min-tls; expected 1.2 or 1.3;"
                     "2: \"colour\" is not a setting; vitrine.conf(5) lists them all;"
                     "4: \"language\" is already set on line 3; keep one of the two;"
                     "5: \"nonsense\" is not of the form `key = value`;"
                     "6: \"7\" has no name before the equals sign; vitrine.conf(5) lists all names;",
                     "%s", faults);
}

Test(settings, sizes) {
    static char text[SETTINGS_FILE_MAX + 1];
    struct settings settings;
    char faults[8192] = "";
    memset(text, '\n', sizeof(text));
    cr_expect_eq(settings_parse(&settings, text, SETTINGS_FILE_MAX, note_fault, faults), 0);
    cr_expect_eq(settings_parse(&settings, text, SETTINGS_FILE_MAX + 1, note_fault, faults), -EFBIG);
    memset(text, 'x', 600);
    text[0] = '#';
    cr_expect_eq(settings_parse(&settings, text, 601, note_fault, faults), 1);
    cr_expect_eq(settings_parse(&settings, "min-tls = 1.3\0 4", 16, note_fault, faults), 1);
    char language[200] = "language = en";
    for (size_t i = 0; i < 41; i++)
        strcat(language, ",fr");
    cr_expect_eq(settings_parse(&settings, language, strlen(language), note_fault, faults), 0);
    cr_expect_eq(strlen(settings.language), 125);
    strcat(language, ",fr");
    cr_expect_eq(settings_parse(&settings, language, strlen(language), note_fault, faults), 1);
}

/* ---- the file ---- */

static int read_settings(const char *path, struct settings *settings, const char **text) {
    int before = dup(STDOUT_FILENO);
    close(before);
    memset(settings, 0xa5, sizeof *settings);
    logged_begin();
    int status = settings_read(settings, path);
    *text = logged_end();
    int after = dup(STDOUT_FILENO);
    close(after);
    cr_expect_eq(after, before, "a descriptor is left open");
    return status;
}

Test(settings_file, what_lies_in_its_place) {
    static char longest[SETTINGS_FILE_MAX + 2];
    struct settings settings, untouched;
    const char *text;
    char folder[] = "/tmp/vitrine-settings-XXXXXX";
    cr_assert(mkdtemp(folder) && chdir(folder) == 0);
    log_limit(LOG_LEVEL_ERROR);
    memset(&untouched, 0xa5, sizeof untouched);
    memset(longest, '\n', sizeof longest);
    cr_expect_eq(read_settings("none", &settings, &text), EX_NOINPUT);
    cr_expect_str_eq(text, "settings file \"none\": No such file or directory; name another with --settings\n");
    cr_assert(mkfifo("pipe", 0644) == 0 && mkdir("folder", 0755) == 0);
    cr_expect_eq(read_settings("pipe", &settings, &text), EX_NOINPUT);
    cr_expect_not_null(strstr(text, "settings file \"pipe\": not a regular file; "));
    cr_expect_eq(read_settings("folder", &settings, &text), EX_NOINPUT);
    cr_expect_not_null(strstr(text, "settings file \"folder\": not a regular file; "));
    for (size_t more = 0; more < 2; more++) {
        FILE *file = fopen("long", "w");
        cr_assert(file && fwrite(longest, 1, SETTINGS_FILE_MAX + more, file) == SETTINGS_FILE_MAX + more);
        fclose(file);
        cr_expect_eq(read_settings("long", &settings, &text), more ? EX_CONFIG : EX_OK);
        cr_expect_str_eq(text, more ? "settings file \"long\": too long; 65536 bytes at most\n" : "");
    }
    FILE *file = fopen("faulty", "w");
    cr_assert(file && fputs("max-connections = 5\n\nnonsense\n", file) >= 0);
    fclose(file);
    cr_expect_eq(read_settings("faulty", &settings, &text), EX_CONFIG);
    cr_expect_eq(strncmp(text, "\"faulty\":3: ", 12), 0, "%s", text);
    cr_expect_eq(logged_count(text, "\n"), 1);
    cr_expect_arr_eq(&settings, &untouched, sizeof settings, "of a file with faults nothing counts");
    cr_assert_eq(truncate("faulty", 20), 0);
    cr_expect_eq(read_settings("faulty", &settings, &text), EX_OK);
    cr_expect_eq(settings.max_connections, 5);
    cr_expect_str_eq(text, "");
    cr_assert(remove("pipe") == 0 && remove("folder") == 0 && remove("long") == 0 && remove("faulty") == 0);
    cr_assert(chdir("/") == 0 && rmdir(folder) == 0);
    /* The default path, at which no file is required. */
    if (access(SETTINGS_PATH, F_OK) < 0) {
        cr_expect_eq(read_settings(NULL, &settings, &text), EX_OK);
        expect_defaults(&settings);
    }
}
