/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file_version.h"

#include <string.h>

_Static_assert(sizeof(struct file_version) == 7 * sizeof(uint64_t), "padding would be compared");

struct file_version file_version_of(const struct stat *status) {
    return (struct file_version){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified = status->st_mtim.tv_sec,
        .modified_nanoseconds = status->st_mtim.tv_nsec,
        .changed = status->st_ctim.tv_sec,
        .changed_nanoseconds = status->st_ctim.tv_nsec,
    };
}

bool file_version_same(const struct file_version *a, const struct file_version *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static dev_t lasting; /* the device of the file system that stays */

void file_version_below(int folder) {
    struct stat status;
    lasting = fstat(folder, &status) == 0 ? status.st_dev : 0;
}

bool file_version_is_settled(const struct file_version *version, time_t now) {
    return version->device == lasting && version->changed + FILE_VERSION_TICK < now;
}
