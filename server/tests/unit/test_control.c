/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Invalid control messages, and those of other versions. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/hostname.h"
#include "protocol/control.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define HEAD offsetof(struct control_response, chain)

static char chain[] = "a chain";
static const struct certificate certificate = {
    .kind = KEY_P256, .key_id = {7}, .signature_max = 72, .chain = chain, .chain_size = 7};

static struct control_request right_request(void) {
    struct control_request request;
    cr_assert(control_ask(&request, CONTROL_PROVIDE, 5, 1001, "a.example"));
    cr_assert(control_request_is_valid(&request, sizeof request));
    return request;
}

/* ---- requests ---- */

Test(control, which_requests_have_a_host) {
    static const struct {
        enum control_command command;
        bool with, without;
    } cases[] = {
        {CONTROL_PROVIDE, true, false},        {CONTROL_ATTACH, false, true},  {CONTROL_REFRESH, false, true},
        {CONTROL_PROVIDE_SAMPLE, true, false}, {CONTROL_PREPARE, true, false},
    };
    struct control_request request;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cr_expect_eq(control_ask(&request, cases[i].command, 1, 2, "a"), cases[i].with, "case %zu", i);
        cr_expect_eq(control_ask(&request, cases[i].command, 1, 2, ""), cases[i].without, "case %zu", i);
        cr_expect_eq(control_ask(&request, cases[i].command, 1, 2, NULL), cases[i].without, "case %zu", i);
        cr_assert(control_ask(&request, cases[i].command, 1, 2, cases[i].with ? "a" : NULL));
        cr_expect(control_request_is_valid(&request, sizeof request), "case %zu", i);
        cr_expect_eq(request.command, cases[i].command);
        cr_expect_eq(request.request_id, 1);
        cr_expect_eq(request.generation, 2);
        request.host[0] = cases[i].with ? '\0' : 'a';
        cr_expect_not(control_request_is_valid(&request, sizeof request), "case %zu", i);
    }
}

Test(control, the_longest_host) {
    char host[HOSTNAME_MAX + 2];
    struct control_request request;
    memset(host, 'a', sizeof host);
    host[HOSTNAME_MAX + 1] = '\0';
    cr_expect_not(control_ask(&request, CONTROL_PROVIDE, 1, 2, host));
    host[HOSTNAME_MAX] = '\0';
    cr_assert(control_ask(&request, CONTROL_PROVIDE, 1, 2, host));
    cr_expect(control_request_is_valid(&request, sizeof request));
    cr_expect_str_eq(request.host, host);
    request.host[HOSTNAME_MAX] = 'a';
    cr_expect_not(control_request_is_valid(&request, sizeof request), "one byte more");
    memset(request.host, 'a', sizeof request.host);
    cr_expect_not(control_request_is_valid(&request, sizeof request), "a host without an end");
}

Test(control, odd_requests) {
    const struct control_request right = right_request();
    struct control_request request;
    for (size_t size = 0; size < sizeof request + 8; size++)
        cr_expect_eq(control_request_is_valid(&right, size), size == sizeof right, "%zu bytes", size);
    for (uint32_t command = 0; command < 80; command++) {
        request = right, request.command = command;
        cr_expect_eq(control_request_is_valid(&request, sizeof request),
                     command == CONTROL_PROVIDE || command == CONTROL_PROVIDE_SAMPLE || command == CONTROL_PREPARE,
                     "command %u", command);
    }
    request = right, request.command = UINT32_MAX;
    cr_expect_not(control_request_is_valid(&request, sizeof request));
    for (unsigned bit = 0; bit < 32; bit++) {
        request = right, request.magic ^= 1u << bit;
        cr_expect_not(control_request_is_valid(&request, sizeof request), "magic, bit %u", bit);
    }
    for (size_t at = strlen(right.host) + 1; at < sizeof right.host; at++) {
        request = right, request.host[at] = 'x';
        cr_expect_not(control_request_is_valid(&request, sizeof request), "nothing hides behind the host, at %zu", at);
    }
}

/* Control sockets outlive an upgrade. Versions without a magic number began with the command's number. */
Test(control, another_version_is_known) {
    static struct control_response response;
    struct control_request request = right_request();
    control_reply(&response, 1, CONTROL_NONE, NULL, NULL);
    cr_expect_not(control_request_is_foreign(&request, sizeof request));
    cr_expect_not(control_response_is_foreign(&response, HEAD));
    const uint32_t own_request = request.magic, own_response = response.magic;
    cr_expect_neq(own_request, own_response);
    const struct {
        uint32_t of_request, of_response;
        bool foreign;
    } cases[] = {
        {0, 0, false},
        {1, 1, true},
        {4, 4, true},
        {5, 5, false},
        {0x12345678, 0x12345678, false},
        {own_request + (1u << 24), own_response + (1u << 24), true},
        {own_request - (1u << 24), own_response - (1u << 24), true},
        {own_request + 1, own_response + 1, false},
        {own_response, own_request, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        request.magic = cases[i].of_request;
        response.magic = cases[i].of_response;
        cr_expect_eq(control_request_is_foreign(&request, sizeof request), cases[i].foreign, "case %zu", i);
        cr_expect_eq(control_request_is_foreign(&request, 272), cases[i].foreign, "case %zu", i);
        cr_expect_eq(control_response_is_foreign(&response, HEAD), cases[i].foreign, "case %zu", i);
        cr_expect_not(control_request_is_foreign(&request, 3), "as much as there is has to tell");
        cr_expect_not(control_response_is_foreign(&response, 3));
        cr_expect_not(control_request_is_valid(&request, sizeof request));
        cr_expect_not(control_response_is_valid(&response, HEAD));
    }
}

/* ---- descriptors ---- */

Test(control, a_descriptor_goes_along) {
    int pair[2], descriptor = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct control_request request, got;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    cr_assert(control_ask(&request, CONTROL_ATTACH, 3, 1001, NULL));
    cr_assert_eq(control_send(pair[0], &request, null), 0);
    cr_assert_eq(control_receive(pair[1], &got, &descriptor), (ssize_t)sizeof got);
    cr_expect_arr_eq((char *)&got, (char *)&request, sizeof request);
    cr_assert_geq(descriptor, 0);
    cr_expect_neq(descriptor, null);
    cr_expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC);
    close(descriptor);
    cr_assert_eq(control_send(pair[0], &request, -1), 0);
    cr_assert_eq(control_receive(pair[1], &got, &descriptor), (ssize_t)sizeof got);
    cr_expect_eq(descriptor, -1);
    cr_expect_eq(control_receive(pair[1], &got, &descriptor), -EAGAIN);
    cr_expect_eq(descriptor, -1);
    cr_assert_eq(send(pair[0], "short", 5, 0), 5);
    cr_expect_eq(control_receive(pair[1], &got, &descriptor), 5);
    cr_expect_eq(got.generation, 0, "nothing is left of the request before");
    char longer[sizeof request + 9] = {0};
    cr_assert_gt(send(pair[0], longer, sizeof longer, 0), 0);
    cr_expect_eq(control_receive(pair[1], &got, &descriptor), (ssize_t)sizeof longer, "the whole length is told");
    close(pair[0]);
    cr_expect_eq(control_receive(pair[1], &got, &descriptor), 0);
    cr_expect_eq(control_send(pair[1], &request, -1), -EPIPE);
    close(pair[1]);
    close(null);
}

/* ---- responses ---- */

Test(control, what_a_response_tells) {
    static struct control_response response;
    size_t size = control_reply(&response, 9, CONTROL_PROVIDED, "a.example", &certificate);
    cr_assert_eq(size, HEAD + 7);
    cr_assert(control_response_is_valid(&response, size));
    cr_expect_eq(response.request_id, 9);
    struct certificate told = control_certificate(&response);
    cr_expect_str_eq(told.host, "a.example");
    cr_expect_eq(told.kind, KEY_P256);
    cr_expect_eq(told.signature_max, 72);
    cr_expect_arr_eq(told.key_id, certificate.key_id, sizeof told.key_id);
    cr_expect_eq(told.chain_size, 7);
    cr_expect_eq(told.chain, response.chain);
    cr_expect_arr_eq(told.chain, "a chain", 7);
    for (enum control_result result = CONTROL_NONE; result <= CONTROL_REFUSED; result++) {
        size = control_reply(&response, 10, result, "a.example", &certificate);
        cr_expect_eq(size, HEAD, "nothing but the result");
        cr_expect(control_response_is_valid(&response, size));
        cr_expect_eq(response.result, result);
        cr_expect_eq(response.host[0], '\0');
        cr_expect_eq(response.key_id[0], 0);
    }
}

Test(control, the_longest_chain) {
    static struct control_response response;
    static char longer[CERTIFICATE_CHAIN_MAX + 1];
    struct certificate large = certificate;
    large.chain = longer;
    large.chain_size = CERTIFICATE_CHAIN_MAX;
    size_t size = control_reply(&response, 1, CONTROL_PROVIDED, "a", &large);
    cr_expect_eq(size, sizeof response);
    cr_expect(control_response_is_valid(&response, size));
    large.chain_size++;
    size = control_reply(&response, 1, CONTROL_PROVIDED, "a", &large);
    cr_expect_eq(size, HEAD);
    cr_expect(control_response_is_valid(&response, size));
    cr_expect_eq(response.result, CONTROL_NONE);
}

Test(control, odd_responses) {
    static struct control_response right, response;
    size_t size = control_reply(&right, 9, CONTROL_PROVIDED, "a.example", &certificate);
    for (size_t other = 0; other < size + 8; other++)
        cr_expect_eq(control_response_is_valid(&right, other), other == size, "%zu bytes", other);
#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        response = right;                                                                                              \
        response.change;                                                                                               \
        cr_expect_not(control_response_is_valid(&response, size), "%s", #change);                                      \
    } while (0)
    REFUSED(magic ^= 1);
    REFUSED(result = 0);
    REFUSED(result = CONTROL_NONE);
    REFUSED(result = CONTROL_REFUSED + 1);
    REFUSED(result = UINT32_MAX);
    REFUSED(reserved = 1);
    REFUSED(chain_size = 6);
    REFUSED(chain_size = 8);
    REFUSED(chain_size = UINT32_MAX);
    REFUSED(chain_size = (uint32_t)-(int)HEAD);
    REFUSED(key_kind = 0);
    REFUSED(key_kind = KEY_KIND_MAX + 1);
    REFUSED(signature_max = SIGNING_SIGNATURE_MAX + 1);
    REFUSED(host[0] = '\0');
    REFUSED(host[CONTROL_HOST_SIZE - 1] = 'x');
    response = right;
    memset(response.host, 'a', sizeof response.host);
    cr_expect_not(control_response_is_valid(&response, size), "a host without an end");
    response = right, response.chain_size = 0;
    cr_expect_not(control_response_is_valid(&response, HEAD), "an identity without a certificate");
    /* A chain size that no message can have. */
    response = right, response.chain_size = CERTIFICATE_CHAIN_MAX + 1;
    cr_expect_not(control_response_is_valid(&response, HEAD + CERTIFICATE_CHAIN_MAX + 1));
}
