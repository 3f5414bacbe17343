/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a connection buffers for a client that reads little at a time. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define pending_keep test_pending_keep
#define pending_drop test_pending_drop
#define connection_flush test_connection_flush
#define connection_flush_pending test_connection_flush_pending
#define connection_widen test_connection_widen
#define connection_receive test_connection_receive
#define connection_untaken test_connection_untaken
#define connection_has_all test_connection_has_all
#define connection_begin_linger test_connection_begin_linger
#define connection_continue_linger test_connection_continue_linger
#include "worker/connection_io.c"

#include <unistd.h>

static int pair[2]; /* the client's end and the server's end */
static struct connection connection;
static struct worker_context context;
static uint8_t sent[200000], got[sizeof sent];

/* The kernel accepts some kilobytes at a time, with arbitrary boundaries. */
static void begin(void) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    connection = (struct connection){.socket = pair[1], .state = STATE_RESPONSE};
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 2654435761u >> 13);
}

TestSuite(connection_io, .init = begin, .timeout = 30);

/* Reads everything available after the bytes read before. Returns the new total. */
static size_t read_all(size_t size) {
    for (ssize_t more; (more = recv(pair[0], got + size, sizeof got - size, 0)) > 0;)
        size += (size_t)more;
    return size;
}

Test(connection_io, what_is_kept_arrives_whole_and_in_order) {
    size_t size = 0;
    unsigned times = 0;
    enum sent outcome;
    cr_assert(pending_keep(&connection.pending_out, sent, sizeof sent));
    do {
        outcome = connection_flush_pending(&connection);
        cr_assert_neq(outcome, SENT_NONE);
        cr_expect_eq(connection.sent + connection.pending_out.size, sizeof sent);
        size = read_all(size);
        times++;
    } while (outcome == SENT_SOME);
    cr_expect_gt(times, 3, "the kernel took all at once, which shows nothing");
    cr_expect_null(connection.pending_out.bytes);
    cr_expect_eq(size, sizeof sent);
    cr_expect_arr_eq(got, sent, sizeof sent);
}

/* Records are sent as far as possible, and the rest is kept. */
Test(connection_io, what_finds_no_room_is_kept) {
    struct tls_channel *channel = &context.channel;
    size_t size = sizeof channel->output;
    memcpy(channel->output, sent, size);
    channel->output_size = size;
    enum sent outcome = connection_flush(&connection, &context);
    cr_assert_eq(outcome, SENT_SOME, "the kernel took all at once, which shows nothing");
    cr_expect_eq(channel->output_size, 0);
    size_t there = read_all(0);
    cr_expect_eq(there + connection.pending_out.size, size);
    while (outcome == SENT_SOME) {
        outcome = connection_flush_pending(&connection);
        there = read_all(there);
    }
    cr_expect_eq(outcome, SENT_ALL);
    cr_expect_eq(there, size);
    cr_expect_arr_eq(got, sent, size);
    cr_expect_eq(connection_flush(&connection, &context), SENT_ALL, "nothing is left");
    cr_expect_eq(read_all(0), 0);
}

Test(connection_io, a_client_who_has_gone_is_noticed) {
    cr_assert(pending_keep(&connection.pending_out, sent, sizeof sent));
    close(pair[0]);
    cr_expect_eq(connection_flush_pending(&connection), SENT_NONE);
    cr_expect_null(connection.pending_out.bytes);
    memcpy(context.channel.output, sent, 10);
    context.channel.output_size = 10;
    cr_expect_eq(connection_flush(&connection, &context), SENT_NONE);
    cr_expect_null(connection.pending_out.bytes);
}

/* Bytes count as moved only while a response is sent. */
Test(connection_io, what_was_moved_is_counted) {
    size_t left;
    connection.state = STATE_REQUEST;
    cr_expect_eq(transmit(&connection, sent, 100, &left), SENT_ALL);
    cr_expect_eq(connection.sent, 0);
    connection.state = STATE_RESPONSE;
    cr_expect_eq(transmit(&connection, sent, 100, &left), SENT_ALL);
    cr_expect_eq(left, 0);
    cr_expect_eq(connection.sent, 100);
    connection.state = STATE_LAST_BYTES;
    cr_expect_eq(transmit(&connection, sent, 100, &left), SENT_ALL);
    cr_expect_eq(connection.sent, 200);
}

static int send_buffer(void) {
    int size = 0;
    socklen_t length = sizeof size;
    cr_assert_eq(getsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    return size;
}

/* Whose client has taken a part of a response gets a large buffer, if there is a place, and asks again after each part.
 */
Test(connection_io, a_quick_client_gets_a_larger_buffer) {
    static struct quota_table tables[2];
    context.quota = (struct quota){.first = tables, .count = 2, .stride = sizeof *tables, .own = &tables[0]};
    int usual = send_buffer();
    connection.widens_at = CONNECTION_IO_WIDENS_AFTER;
    connection.sent = CONNECTION_IO_WIDENS_AFTER - 1;
    connection_widen(&connection, &context);
    cr_expect_eq(send_buffer(), usual);
    tables[1].wide = BOUND_WIDE_CONNECTIONS; /* of another worker */
    connection.sent = CONNECTION_IO_WIDENS_AFTER;
    connection_widen(&connection, &context);
    cr_expect_eq(send_buffer(), usual);
    cr_expect_not(connection.is_wide);
    cr_expect_eq(tables[0].wide, 0);
    tables[1].wide = 0;
    connection.sent = 2 * CONNECTION_IO_WIDENS_AFTER - 1;
    connection_widen(&connection, &context);
    cr_expect_eq(send_buffer(), usual, "it asks once for each part");
    connection.sent++;
    connection_widen(&connection, &context);
    cr_expect_eq(send_buffer(), 2 * BOUND_WIDE_SEND_BUFFER);
    cr_expect(connection.is_wide);
    connection.sent *= 2;
    connection_widen(&connection, &context);
    cr_expect_eq(tables[0].wide, 1, "it takes one place, once");
}
