/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The limits in the units must match those in the code. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/settings.h"

/* Returns the value of a setting that occurs once in a unit. K and M suffixes are supported. */
static unsigned long long setting_of(const char *unit, const char *key) {
    char path[64], line[512];
    unsigned long long value = 0;
    size_t found = 0;
    snprintf(path, sizeof path, "units/%s", unit);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != '=')
            continue;
        char *end;
        value = strtoull(line + strlen(key) + 1, &end, 10);
        value *= *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1;
        found++;
    }
    fclose(file);
    cr_assert_eq(found, 1, "%s: %zu times %s=", unit, found, key);
    return value;
}

Test(bounds, all_connections_fit_into_the_memory_of_the_service) {
    struct settings settings;
    settings_default(&settings);
    cr_expect_eq(settings.max_connections, BOUND_CONNECTIONS);
    cr_expect_eq(setting_of("vitrine.service", "MemoryMax"), BOUND_MEMORY);
    cr_expect_lt((unsigned long long)settings.max_connections * BOUND_CONNECTION + BOUND_WIDE + BOUND_APART +
                     BOUND_KEPT,
                 setting_of("vitrine.service", "MemoryMax"));
    cr_expect_leq(settings.max_connections_from_loopback, settings.max_connections);
}

/* Connections that arrived before the service started have the socket unit's values. */
Test(bounds, the_socket_unit_sets_the_same_buffers) {
    cr_expect_eq(setting_of("vitrine.socket", "SendBuffer"), BOUND_SEND_BUFFER);
    cr_expect_eq(setting_of("vitrine.socket", "ReceiveBuffer"), BOUND_RECEIVE_BUFFER);
}

/* Each connection may need its socket and a file. Each worker is a task, and there may be as many retired workers. */
Test(bounds, descriptors_and_tasks_suffice) {
    cr_expect_geq(setting_of("vitrine.service", "LimitNOFILE"), 2 * BOUND_CONNECTIONS + 64);
    cr_expect_geq(setting_of("vitrine.service", "TasksMax"), 1 + 64 + 64);
}
