/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "remarks.h"

#include "common/log.h"

void remarks_add(struct remarks *remarks, enum remark remark, const char *address, uint64_t now) {
    static const char *const words[REMARK_COUNT] = {"refused", "throttled", "displaced", "late", "foreign", "failed"};
    remarks_settle(remarks, now);
    if (remarks->all == 0)
        remarks->period_ends = now + REMARKS_PERIOD;
    if (remarks->counts[remark] < REMARKS_MAX && address[0])
        log_line(LOG_LEVEL_INFO, "connection end=%s%s", words[remark], address);
    remarks->counts[remark]++;
    remarks->all++;
}

void remarks_settle(struct remarks *remarks, uint64_t now) {
    const unsigned *counts = remarks->counts;
    if (remarks->all == 0 || now < remarks->period_ends)
        return;
    log_line(LOG_LEVEL_INFO, "connections refused=%u throttled=%u displaced=%u late=%u foreign=%u failed=%u seconds=%u",
             counts[REMARK_REFUSED], counts[REMARK_THROTTLED], counts[REMARK_DISPLACED], counts[REMARK_LATE],
             counts[REMARK_FOREIGN], counts[REMARK_FAILED], REMARKS_PERIOD / 1000);
    *remarks = (struct remarks){0};
}
