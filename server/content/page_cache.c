/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page_cache.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kept.h"

/* The same block also contains the steps, their paths, and the META with a NUL. */
struct page {
    struct reply_text *text;
    size_t count; /* steps */
    const char *paths, *meta;
    struct file_version steps[];
};

static void release(void *thing) {
    reply_text_release(((struct page *)thing)->text);
}

bool page_cache_find(int content, const char *path, size_t length, struct reply *reply) {
    struct page *page = kept_find(KEPT_PAGE, path, length);
    if (!page)
        return false;
    if (!trail_holds(content, page->steps, page->count, page->paths)) {
        kept_drop(page);
        return false;
    }
    reply_set(reply, STATUS_SUCCESS, page->meta);
    reply->text = reply_text_share(page->text);
    reply->body_size = page->text->size;
    return true;
}

/* Reads a whole file. Returns NULL if it became shorter, cannot be read, or there is no memory. */
static struct reply_text *read_text(int file, size_t size) {
    struct reply_text *text = reply_text_make(size, NULL);
    for (size_t filled = 0; text && filled < size;) {
        ssize_t got = pread(file, text->bytes + filled, size - filled, (off_t)filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            reply_text_release(text);
            return NULL;
        }
        filled += (size_t)got;
    }
    return text;
}

void page_cache_keep(const char *path, size_t length, const struct trail *trail, uint64_t owner, struct reply *reply) {
    if (reply->status != STATUS_SUCCESS || reply->body < 0 || reply->body_size > PAGE_CACHE_BODY ||
        !trail_is_settled(trail, time(NULL)))
        return;
    size_t steps = trail->count * sizeof trail->steps[0], meta = strlen(reply->meta) + 1;
    struct page *page = kept_make(KEPT_PAGE, path, length, owner, sizeof *page + steps + trail->size + meta,
                                  sizeof *page->text + (size_t)reply->body_size, release);
    if (!page)
        return;
    page->text = read_text(reply->body, (size_t)reply->body_size);
    if (!page->text) {
        kept_drop(page);
        return;
    }
    char *paths = (char *)page->steps + steps;
    page->count = trail->count;
    memcpy(page->steps, trail->steps, steps);
    page->paths = memcpy(paths, trail->paths, trail->size);
    page->meta = memcpy(paths + trail->size, reply->meta, meta);
    close(reply->body);
    reply->body = -1;
    reply->text = reply_text_share(page->text);
}
