/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The settings file: every value stays in its documented range, and means the same when it is written out and read
 * again.
 */
#include "fuzz.h"

#include "common/settings.h"
#include "content/metafile.h"

static unsigned last_line;
static int faults;

static void note(unsigned line, const char *problem, void *context) {
    HOLDS(context == &faults && line > last_line);
    HOLDS(problem[0] != '\0' && text_is_clean(problem, strlen(problem)) && problem[strlen(problem) - 1] != '.');
    last_line = line;
    faults++;
}

static int parse(struct settings *settings, const char *text, size_t length) {
    last_line = 0;
    faults = 0;
    int result = settings_parse(settings, text, length, note, &faults);
    HOLDS(result == faults || (result < 0 && faults == 0 && length > SETTINGS_FILE_MAX));
    return result;
}

static void check_ports(const struct settings_ports *ports) {
    HOLDS(ports->count <= SETTINGS_PORTS_MAX);
    for (size_t i = 0; i < ports->count; i++) {
        HOLDS(ports->ports[i] > 0 && settings_has_port(ports, ports->ports[i]));
        for (size_t j = 0; j < i; j++)
            HOLDS(ports->ports[i] != ports->ports[j]);
    }
}

static void check_ranges(const struct settings *settings) {
    check_ports(&settings->advertised_ports);
    check_ports(&settings->proxy_ports);
    HOLDS(settings->min_tls == SETTINGS_TLS_1_2 || settings->min_tls == SETTINGS_TLS_1_3);
    HOLDS(settings->log_addresses <= LOG_ADDRESSES_FULL);
    HOLDS(memchr(settings->language, '\0', sizeof settings->language) != NULL);
    HOLDS(settings->language[0] == '\0' || metafile_is_languages(settings->language, strlen(settings->language)));
    HOLDS(settings->max_connections >= 1 && settings->max_connections <= 1000000);
    HOLDS(settings->max_connections_per_address >= 1 && settings->max_connections_per_address <= 1000000);
    HOLDS(settings->max_requests_per_minute <= 1000000);
    const uint32_t durations[] = {settings->handshake_timeout, settings->request_timeout, settings->reply_timeout};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        HOLDS(durations[i] >= 100 && durations[i] <= 3600000);
}

static void write_ports(FILE *file, const char *key, const struct settings_ports *ports) {
    for (size_t i = 0; i < ports->count; i++)
        fprintf(file, i == 0 ? "%s = %u" : "%s%u", i == 0 ? key : ", ", ports->ports[i]);
    fputs("\n", file);
}

static void check_round_trip(const struct settings *settings) {
    static const char *const addresses[] = {"off", "partial", "hashed", "full"};
    struct settings again;
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    HOLDS(file != NULL);
    write_ports(file, "advertised-ports", &settings->advertised_ports);
    write_ports(file, "proxy-ports", &settings->proxy_ports);
    if (settings->language[0])
        fprintf(file, "language=%s\n", settings->language);
    fprintf(file, "min-tls = 1.%d\nlog-addresses = %s\n", settings->min_tls == SETTINGS_TLS_1_3 ? 3 : 2,
            addresses[settings->log_addresses]);
    fprintf(file, "log-requests = %s\nstop-delay = %ums\n",
            settings->log_requests == LOG_REQUESTS_ERRORS ? "errors" : "all", settings->stop_delay);
    if (settings->workers > 0)
        fprintf(file, "workers = %u\n", settings->workers);
    fprintf(file, "max-connections = %u\nmax-connections-per-address = %u\nmax-requests-per-minute = %u\n",
            settings->max_connections, settings->max_connections_per_address, settings->max_requests_per_minute);
    fprintf(file, "handshake-timeout = %ums\nrequest-timeout = %u ms\nreply-timeout = %ums",
            settings->handshake_timeout, settings->request_timeout, settings->reply_timeout);
    fclose(file);
    HOLDS(parse(&again, text, length) == 0);
    check_ranges(&again);
    HOLDS(again.advertised_ports.count == settings->advertised_ports.count);
    HOLDS(again.proxy_ports.count == settings->proxy_ports.count);
    HOLDS(strcmp(again.language, settings->language) == 0);
    HOLDS(again.min_tls == settings->min_tls && again.log_addresses == settings->log_addresses);
    HOLDS(again.log_requests == settings->log_requests && again.stop_delay == settings->stop_delay &&
          again.workers == settings->workers && again.workers <= SETTINGS_WORKERS_MAX);
    HOLDS(again.max_connections == settings->max_connections && again.reply_timeout == settings->reply_timeout);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct settings settings;
    if (parse(&settings, (const char *)bytes, size) == 0) {
        check_ranges(&settings);
        check_round_trip(&settings);
    }
    return 0;
}
