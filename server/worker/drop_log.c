/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "drop_log.h"

#include <stdio.h>

#include "common/log.h"

#define WORD(name, NAME) [DROP_##NAME] = #name,
static const char *const words[DROP_COUNT] = {COUNTERS(COUNTERS_NOTHING, WORD)};
#undef WORD

void drop_log_add(struct remarks *remarks, enum drop drop, const char *address, uint64_t now) {
    drop_log_settle(remarks, now);
    if (remarks->all == 0)
        remarks->period_ends = now + DROP_LOG_PERIOD;
    if (remarks->counts[drop] < DROP_LOG_MAX && address[0])
        log_line(LOG_LEVEL_INFO, "connection end=%s%s", words[drop], address);
    remarks->counts[drop]++;
    remarks->all++;
}

void drop_log_settle(struct remarks *remarks, uint64_t now) {
    char counts[DROP_COUNT * 32] = "";
    if (remarks->all == 0 || now < remarks->period_ends)
        return;
    for (size_t i = 0, length = 0; i < DROP_COUNT; i++)
        length += (size_t)snprintf(counts + length, sizeof counts - length, " %s=%u", words[i], remarks->counts[i]);
    log_line(LOG_LEVEL_INFO, "connections%s seconds=%u", counts, DROP_LOG_PERIOD / 1000);
    *remarks = (struct remarks){0};
}
