/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pass_descriptor.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

int pass_descriptor(int socket, const void *bytes, size_t size, int descriptor) {
    union {
        char bytes[CMSG_SPACE(sizeof descriptor)];
        struct cmsghdr align;
    } room;
    memset(&room, 0, sizeof room);
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
