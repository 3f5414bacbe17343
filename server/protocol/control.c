/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/hostname.h"
#include "common/pass_descriptor.h"

/* The last byte is the version. Messages of the first version had no magic number: they began with the command. */
#define REQUEST_MAGIC 0x32716374u  /* "tcq2" */
#define RESPONSE_MAGIC 0x31616374u /* "tca1" */
#define MAGIC_WITHOUT_VERSION 0x00ffffffu
#define COMMAND_MAX CONTROL_PREPARE
#define FIRST_COMMAND_MAX 4 /* of the first version */

#define RESPONSE_HEAD offsetof(struct control_response, chain)

_Static_assert(sizeof(struct control_request) == 24 + CONTROL_HOST_SIZE, "a request has no padding");
_Static_assert(RESPONSE_HEAD == 32 + CONTROL_HOST_SIZE + SIGNING_KEY_ID, "the head of a response has no padding");
_Static_assert(HOSTNAME_MAX < CONTROL_HOST_SIZE, "there is room for the longest host");

static bool is_host(const char host[static CONTROL_HOST_SIZE]) {
    size_t length = strnlen(host, CONTROL_HOST_SIZE);
    if (length > HOSTNAME_MAX)
        return false;
    for (size_t i = length; i < CONTROL_HOST_SIZE; i++) {
        if (host[i] != '\0')
            return false;
    }
    return true;
}

/* May it be of another version? own: the magic number of this one. */
static bool is_foreign(uint32_t magic, size_t size, uint32_t own) {
    if (size < sizeof magic || magic == own)
        return false;
    return (magic >= 1 && magic <= FIRST_COMMAND_MAX) || ((magic ^ own) & MAGIC_WITHOUT_VERSION) == 0;
}

/* ---- requests ---- */

static bool needs_host(uint32_t command) {
    return command == CONTROL_PROVIDE || command == CONTROL_PROVIDE_SAMPLE || command == CONTROL_PREPARE;
}

bool control_ask(struct control_request *request, enum control_command command, uint64_t request_id,
                 uint64_t generation, const char *host) {
    size_t length = host ? strlen(host) : 0;
    if (length > HOSTNAME_MAX || needs_host(command) != (length > 0))
        return false;
    *request = (struct control_request){
        .magic = REQUEST_MAGIC, .command = command, .request_id = request_id, .generation = generation};
    if (length > 0)
        memcpy(request->host, host, length);
    return true;
}

bool control_request_is_valid(const struct control_request *request, size_t size) {
    return size == sizeof *request && request->magic == REQUEST_MAGIC && request->command >= 1 &&
           request->command <= COMMAND_MAX && is_host(request->host) &&
           needs_host(request->command) == (request->host[0] != '\0');
}

bool control_request_is_foreign(const struct control_request *request, size_t size) {
    return is_foreign(request->magic, size, REQUEST_MAGIC);
}

int control_send(int control, const struct control_request *request, int descriptor) {
    if (descriptor < 0)
        return send(control, request, sizeof *request, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
    return pass_descriptor(control, request, sizeof *request, descriptor);
}

/* Returns the descriptor that came with a message; -1 if there is none. If there are several, closes all. */
static int take_descriptor(struct msghdr *message) {
    int descriptor = -1, one;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t size = part->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at < size; at += sizeof one) {
            memcpy(&one, CMSG_DATA(part) + at, sizeof one);
            if (size == sizeof one && descriptor < 0)
                descriptor = one;
            else
                close(one);
        }
    }
    return descriptor;
}

ssize_t control_receive(int control, struct control_request *request, int *descriptor) {
    /* Room for one descriptor. It holds two, because it is rounded up. */
    union {
        char bytes[CMSG_SPACE(sizeof *descriptor)];
        struct cmsghdr align;
    } room;
    struct iovec part = {request, sizeof *request};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room.bytes};
    memset(request, 0, sizeof *request);
    *descriptor = -1;
    /* MSG_TRUNC returns the whole length of a message that is too long; otherwise it would pass for a request. */
    ssize_t got = recvmsg(control, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_DONTWAIT);
    if (got < 0)
        return -errno;
    *descriptor = take_descriptor(&message);
    return got;
}

/* ---- responses ---- */

size_t control_reply(struct control_response *response, uint64_t request_id, enum control_result result,
                     const char *host, const struct certificate *certificate) {
    memset(response, 0, RESPONSE_HEAD);
    response->magic = RESPONSE_MAGIC;
    response->result = result;
    response->request_id = request_id;
    if (result != CONTROL_PROVIDED)
        return RESPONSE_HEAD;
    if (certificate->chain_size > CERTIFICATE_CHAIN_MAX || strlen(host) > HOSTNAME_MAX) {
        response->result = CONTROL_NONE;
        return RESPONSE_HEAD;
    }
    memcpy(response->host, host, strlen(host));
    memcpy(response->key_id, certificate->key_id, sizeof response->key_id);
    response->key_kind = certificate->kind;
    response->signature_max = certificate->signature_max;
    response->chain_size = (uint32_t)certificate->chain_size;
    memcpy(response->chain, certificate->chain, certificate->chain_size);
    return RESPONSE_HEAD + certificate->chain_size;
}

bool control_response_is_valid(const struct control_response *response, size_t size) {
    if (size < RESPONSE_HEAD || response->magic != RESPONSE_MAGIC || response->result < CONTROL_PROVIDED ||
        response->result > CONTROL_REFUSED || response->reserved != 0 || response->chain_size > CERTIFICATE_CHAIN_MAX ||
        size != RESPONSE_HEAD + response->chain_size || !is_host(response->host))
        return false;
    if (response->result != CONTROL_PROVIDED)
        return response->chain_size == 0;
    return response->host[0] != '\0' && response->chain_size > 0 && response->key_kind >= KEY_P256 &&
           response->key_kind <= KEY_KIND_MAX && response->signature_max <= SIGNING_SIGNATURE_MAX;
}

bool control_response_is_foreign(const struct control_response *response, size_t size) {
    return is_foreign(response->magic, size, RESPONSE_MAGIC);
}

struct certificate control_certificate(struct control_response *response) {
    struct certificate certificate = {.kind = response->key_kind,
                                      .signature_max = response->signature_max,
                                      .chain = response->chain,
                                      .chain_size = response->chain_size};
    memcpy(certificate.host, response->host, sizeof certificate.host);
    memcpy(certificate.key_id, response->key_id, sizeof certificate.key_id);
    return certificate;
}
