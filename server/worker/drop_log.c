/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "drop_log.h"

#include "common/log.h"

void drop_log_add(struct remarks *remarks, enum drop drop, const char *address, uint64_t now) {
    static const char *const words[DROP_COUNT] = {"refused", "throttled", "displaced", "late", "foreign", "failed"};
    drop_log_settle(remarks, now);
    if (remarks->all == 0)
        remarks->period_ends = now + DROP_LOG_PERIOD;
    if (remarks->counts[drop] < DROP_LOG_MAX && address[0])
        log_line(LOG_LEVEL_INFO, "connection end=%s%s", words[drop], address);
    remarks->counts[drop]++;
    remarks->all++;
}

void drop_log_settle(struct remarks *remarks, uint64_t now) {
    const unsigned *counts = remarks->counts;
    if (remarks->all == 0 || now < remarks->period_ends)
        return;
    log_line(LOG_LEVEL_INFO, "connections refused=%u throttled=%u displaced=%u late=%u foreign=%u failed=%u seconds=%u",
             counts[DROP_REFUSED], counts[DROP_THROTTLED], counts[DROP_DISPLACED], counts[DROP_LATE],
             counts[DROP_FOREIGN], counts[DROP_FAILED], DROP_LOG_PERIOD / 1000);
    *remarks = (struct remarks){0};
}
