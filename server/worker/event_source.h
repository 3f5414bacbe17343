/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Something that epoll watches: data.ptr of an event points at one of these, which names the handler. */

#include <stdint.h>

struct worker;

struct event_source {
    /* events: as in struct epoll_event. The source may be gone afterwards. */
    void (*handle)(struct worker *worker, void *context, uint32_t events);
    void *context;
};
