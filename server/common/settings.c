/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "lines.h"
#include "log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Values. Each parser takes trimmed text and returns whether it is valid. ---- */

static bool parse_ports(const char *text, void *into) {
    struct settings_ports *ports = into;
    ports->count = 0;
    while (*text != '\0') {
        uint16_t port;
        if (ports->count == SETTINGS_PORTS_MAX || !lines_port(&text, &port))
            return false;
        if (*text != '\0' && !lines_is_space(*text) && *text != ',')
            return false;
        if (!settings_has_port(ports, port))
            ports->ports[ports->count++] = port;
        while (lines_is_space(*text))
            text++;
        if (*text == ',') {
            text++;
            while (lines_is_space(*text))
                text++;
            if (*text == '\0')
                return false;
        }
    }
    return ports->count > 0;
}

static bool parse_tls(const char *text, void *into) {
    enum settings_tls *version = into;
    *version = strcmp(text, "1.3") == 0 ? SETTINGS_TLS_1_3 : SETTINGS_TLS_1_2;
    return *version == SETTINGS_TLS_1_3 || strcmp(text, "1.2") == 0;
}

static bool parse_addresses(const char *text, void *into) {
    static const char *const names[] = {
        [LOG_ADDRESSES_OFF] = "off",
        [LOG_ADDRESSES_PARTIAL] = "partial",
        [LOG_ADDRESSES_HASHED] = "hashed",
        [LOG_ADDRESSES_FULL] = "full",
    };
    enum settings_addresses *addresses = into;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *addresses = (enum settings_addresses)i;
            return true;
        }
    }
    return false;
}

static bool parse_requests(const char *text, void *into) {
    enum settings_requests *requests = into;
    *requests = strcmp(text, "errors") == 0 ? LOG_REQUESTS_ERRORS : LOG_REQUESTS_ALL;
    return *requests == LOG_REQUESTS_ERRORS || strcmp(text, "all") == 0;
}

/* Language tags with commas between them; spaces around commas are allowed. */
static bool parse_language(const char *text, void *into) {
    char *language = into;
    size_t length = 0;
    while (*text != '\0') {
        const char *tag_end = text + strcspn(text, ",");
        size_t tag_length = (size_t)(tag_end - text);
        while (tag_length > 0 && lines_is_space(text[tag_length - 1]))
            tag_length--;
        if (!text_is_language(text, tag_length) || length + tag_length + 1 > SETTINGS_LANGUAGE_MAX)
            return false;
        if (length > 0)
            language[length++] = ',';
        memcpy(language + length, text, tag_length);
        length += tag_length;
        if (*tag_end == '\0')
            break;
        for (text = tag_end + 1; lines_is_space(*text);)
            text++;
        if (*text == '\0')
            return false;
    }
    language[length] = '\0';
    return length > 0;
}

static bool parse_count(const char *text, void *into) {
    uint32_t *count = into;
    return lines_number(&text, 1000000, count) && *text == '\0';
}

static bool parse_count_from_one(const char *text, void *into) {
    return parse_count(text, into) && *(const uint32_t *)into > 0;
}

static bool parse_workers(const char *text, void *into) {
    return parse_count_from_one(text, into) && *(const uint32_t *)into <= SETTINGS_WORKERS_MAX;
}

/* A number and its unit, up to 60 min. */
static bool parse_delay(const char *text, void *into) {
    static const struct {
        const char *name;
        uint32_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}};
    uint32_t number, *milliseconds = into;
    if (!lines_number(&text, 3600000, &number))
        return false;
    while (lines_is_space(*text))
        text++;
    for (size_t i = 0; i < COUNT(units); i++) {
        if (strcmp(text, units[i].name) == 0) {
            uint64_t product = (uint64_t)number * units[i].milliseconds;
            *milliseconds = (uint32_t)product;
            return product <= 3600000;
        }
    }
    return false;
}

/* The same, from 100 ms. */
static bool parse_duration(const char *text, void *into) {
    return parse_delay(text, into) && *(const uint32_t *)into >= 100;
}

/* ---- Keys ---- */

#define PORTS "one or more ports between 1 and 65535, 16 at most"
#define DURATION "a number with its unit (ms, s or min) between 100ms and 60min"
#define DELAY "a number with its unit (ms, s or min) of at most 60min"
#define FROM_ONE "a number between 1 and 1000000"
#define FROM_NONE "a number up to 1000000; 0 for no limit"

static const struct {
    const char *key;
    bool (*parse)(const char *text, void *into);
    size_t place; /* in struct settings */
    const char *expected;
} keys[] = {
    {"advertised-ports", parse_ports, offsetof(struct settings, advertised_ports), PORTS},
    {"min-tls", parse_tls, offsetof(struct settings, min_tls), "1.2 or 1.3"},
    {"language", parse_language, offsetof(struct settings, language), "one or more language tags (BCP 47): en, fr"},
    {"log-addresses", parse_addresses, offsetof(struct settings, log_addresses), "off, partial, hashed or full"},
    {"log-requests", parse_requests, offsetof(struct settings, log_requests), "all or errors"},
    {"proxy-ports", parse_ports, offsetof(struct settings, proxy_ports), PORTS},
    {"max-connections", parse_count_from_one, offsetof(struct settings, max_connections), FROM_ONE},
    {"max-connections-per-address", parse_count_from_one, offsetof(struct settings, max_connections_per_address),
     FROM_ONE},
    {"max-connections-from-loopback", parse_count_from_one, offsetof(struct settings, max_connections_from_loopback),
     FROM_ONE},
    {"max-handshakes-per-minute", parse_count, offsetof(struct settings, max_handshakes_per_minute), FROM_NONE},
    {"max-requests-per-minute", parse_count, offsetof(struct settings, max_requests_per_minute), FROM_NONE},
    {"handshake-timeout", parse_duration, offsetof(struct settings, handshake_timeout), DURATION},
    {"request-timeout", parse_duration, offsetof(struct settings, request_timeout), DURATION},
    {"reply-timeout", parse_duration, offsetof(struct settings, reply_timeout), DURATION},
    {"stop-delay", parse_delay, offsetof(struct settings, stop_delay), DELAY},
    {"workers", parse_workers, offsetof(struct settings, workers), "a number between 1 and 64"},
};

void settings_default(struct settings *settings) {
    *settings = (struct settings){
        .min_tls = SETTINGS_TLS_1_2,
        .log_addresses = LOG_ADDRESSES_OFF,
        .max_connections = BOUND_CONNECTIONS,
        .max_connections_per_address = 32,
        .max_connections_from_loopback = BOUND_LOOPBACK,
        .max_handshakes_per_minute = 600,
        .max_requests_per_minute = 300,
        .handshake_timeout = 10000,
        .request_timeout = 10000,
        .reply_timeout = 20000,
    };
}

bool settings_has_port(const struct settings_ports *ports, uint16_t port) {
    for (size_t i = 0; i < ports->count; i++) {
        if (ports->ports[i] == port)
            return true;
    }
    return false;
}

/* ---- Lines ---- */

#define LINE_MAX_BYTES 512
#define PROBLEM_MAX_BYTES 1024

struct reader {
    struct settings *settings;
    unsigned seen[COUNT(keys)]; /* the line of each key; 0: none so far */
    char problem[PROBLEM_MAX_BYTES];
};

/* Reports a word from the file, quoted, and a sentence about it. */
static bool refuse(struct reader *reader, const char *before, const char *word, const char *after) {
    char quoted[256];
    log_quote(quoted, sizeof(quoted), word);
    snprintf(reader->problem, sizeof(reader->problem), "%s%s%s", before, quoted, after);
    return false;
}

/* Splits key and value, and stores the value. */
static bool read_setting(struct reader *reader, const char *key, const char *value, unsigned number) {
    char after[256];
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (strcmp(key, keys[i].key) != 0)
            continue;
        if (reader->seen[i] > 0) {
            snprintf(after, sizeof(after), " is already set on line %u; keep one of the two", reader->seen[i]);
            return refuse(reader, "", key, after);
        }
        reader->seen[i] = number;
        if (keys[i].parse(value, (char *)reader->settings + keys[i].place))
            return true;
        snprintf(after, sizeof(after), " is not a valid value for %s; expected %s", key, keys[i].expected);
        return refuse(reader, "", value, after);
    }
    if (key[0] == '\0')
        return refuse(reader, "", value, " has no name before the equals sign; vitrine.conf(5) lists all names");
    return refuse(reader, "", key, " is not a setting; vitrine.conf(5) lists them all");
}

/* line = [ key "=" value / "#" comment ] */
static bool read_line(struct reader *reader, const char *bytes, size_t length, unsigned number) {
    char line[LINE_MAX_BYTES];
    if (length >= sizeof(line)) {
        snprintf(reader->problem, sizeof(reader->problem), "the line is longer than %zu bytes", sizeof(line) - 1);
        return false;
    }
    const char *problem = lines_judge(bytes, length);
    if (problem) {
        snprintf(reader->problem, sizeof(reader->problem), "%s", problem);
        return false;
    }
    memcpy(line, bytes, length);
    line[length] = '\0';
    char *text = lines_trim(line);
    if (*text == '\0' || *text == '#')
        return true;
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return refuse(reader, "", text, " is not of the form `key = value`");
    *equals = '\0';
    return read_setting(reader, lines_trim(text), lines_trim(equals + 1), number);
}

int settings_parse(struct settings *settings, const char *text, size_t length, text_fault *fault, void *context) {
    struct reader reader = {.settings = settings};
    struct lines lines = lines_begin(text, length);
    const char *line;
    size_t line_length;
    int faults = 0;
    settings_default(settings);
    if (length > SETTINGS_FILE_MAX)
        return -EFBIG;
    while (lines_next(&lines, &line, &line_length)) {
        if (!read_line(&reader, line, line_length, lines.number)) {
            faults++;
            fault(lines.number, reader.problem, context);
        }
    }
    return faults;
}
