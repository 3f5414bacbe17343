/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "worker/hello.h"

/* Builds a ClientHello message with one server_name extension of the given type and name. */
static size_t make_message(uint8_t *message, uint8_t type, const char *name, size_t padding) {
    uint8_t *at = message + 4;
    size_t name_length = name ? strlen(name) : 0;
    *at++ = 3, *at++ = 3;
    memset(at, 0xaa, 32), at += 32;
    *at++ = 0;                                        /* no session ID */
    *at++ = 0, *at++ = 2, *at++ = 0x13, *at++ = 0x01; /* one cipher suite */
    *at++ = 1, *at++ = 0;                             /* no compression */
    uint8_t *extensions = at;
    at += 2;
    if (padding) { /* extension 21 comes before the name */
        *at++ = 0, *at++ = 21, *at++ = (uint8_t)(padding >> 8), *at++ = (uint8_t)padding;
        memset(at, 0, padding), at += padding;
    }
    if (name) {
        size_t list = name_length + 3;
        *at++ = 0, *at++ = 0, *at++ = (uint8_t)((list + 2) >> 8), *at++ = (uint8_t)(list + 2);
        *at++ = (uint8_t)(list >> 8), *at++ = (uint8_t)list;
        *at++ = type, *at++ = (uint8_t)(name_length >> 8), *at++ = (uint8_t)name_length;
        memcpy(at, name, name_length), at += name_length;
    }
    size_t size = (size_t)(at - extensions) - 2;
    extensions[0] = (uint8_t)(size >> 8), extensions[1] = (uint8_t)size;
    size_t body = (size_t)(at - message) - 4;
    message[0] = 1, message[1] = (uint8_t)(body >> 16), message[2] = (uint8_t)(body >> 8);
    message[3] = (uint8_t)body;
    return body + 4;
}

/* Cuts a message into records of at most `part` bytes. */
static size_t make_records(uint8_t *records, const uint8_t *message, size_t size, size_t part) {
    uint8_t *at = records;
    for (size_t done = 0; done < size;) {
        size_t now = size - done < part ? size - done : part;
        *at++ = 0x16, *at++ = 3, *at++ = 1, *at++ = (uint8_t)(now >> 8), *at++ = (uint8_t)now;
        memcpy(at, message + done, now);
        at += now, done += now;
    }
    return (size_t)(at - records);
}

Test(hello, server_name) {
    static const struct {
        const char *sent, *expected;
        uint8_t type;
    } cases[] = {
        {"example.org", "example.org", 0},
        {"EXAMPLE.org", "example.org", 0},
        {"example.org.", "example.org", 0},
        {"example.org..", "", 0},
        {".", "", 0},
        {NULL, "", 0},
        {"", "", 0},
        {"a/b", "", 0},
        {"a-long-start-of-a-name/b", "", 0},
        {"aAzZ09@[`{.EXAMPLE", "aazz09@[`{.example", 0},
        {"a~\x7f", "", 0},
        {"a!~", "a!~", 0},
        {"with space", "", 0},
        {"ctrl\x01", "", 0},
        {"\xc3\xa4.example", "", 0},
        {"wrong-type.example", "", 1},
        {"a", "a", 0},
        {"a.", "a", 0},
        {"..", "", 0},
    };
    static const size_t parts[] = {16000, 100, 7, 1};
    uint8_t message[1024], records[8192];
    char name[HELLO_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = make_message(message, cases[i].type, cases[i].sent, 50);
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            size_t length = make_records(records, message, size, parts[p]);
            cr_expect_eq(hello_examine(records, length), HELLO_COMPLETE, "case %zu part %zu", i, parts[p]);
            strcpy(name, "what was there before");
            hello_server_name(records, length, name);
            cr_expect_str_eq(name, cases[i].expected, "case %zu part %zu: got %s", i, parts[p], name);
        }
    }
}

/* The longest name, and one byte more, with and without a dot at the end. */
Test(hello, longest_name) {
    static uint8_t message[1024], records[1024];
    for (size_t length = HELLO_NAME_MAX - 1; length <= HELLO_NAME_MAX + 2; length++) {
        for (size_t dot = 0; dot < 2; dot++) {
            char sent[HELLO_NAME_MAX + 4], name[HELLO_NAME_MAX + 1] = "x";
            memset(sent, 'a', length);
            strcpy(sent + length, dot ? "." : "");
            size_t size = make_message(message, 0, sent, 0);
            hello_server_name(records, make_records(records, message, size, 16000), name);
            cr_expect_eq(strlen(name), length <= HELLO_NAME_MAX ? length : 0, "%zu, %zu", length, dot);
        }
    }
}

/* If a length reaches beyond its container, there is no name, even if there seems to be one. */
Test(hello, lengths_that_are_wrong) {
    static const char looks_like_one[] = "\x00\x0e\x00\x00\x0b"
                                         "example.org";
    uint8_t message[1024], records[1024];
    char name[HELLO_NAME_MAX + 1];
    size_t size = make_message(message, 0, "example.org", 0);
    /* the end of each length: extensions, the extension, its list, the name */
    static const size_t at[] = {46, 50, 52, 55};
    cr_assert(message[46] == 20 && message[50] == 16 && message[52] == 14 && message[55] == 11);
    hello_server_name(records, make_records(records, message, size, 16000), name);
    cr_assert_str_eq(name, "example.org");
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        static const uint8_t more[] = {1, 30, 0xf0};
        for (size_t m = 0; m < sizeof more; m++) {
            uint8_t before = message[at[i]];
            message[at[i]] = (uint8_t)(before + more[m]);
            strcpy(name, "x");
            hello_server_name(records, make_records(records, message, size, 16000), name);
            cr_expect_str_eq(name, "", "length %zu, %u more", i, more[m]);
            message[at[i]] = before;
        }
    }
    /* Another extension does not contain a name either. */
    size = make_message(message, 0, NULL, sizeof looks_like_one - 1);
    memcpy(message + size - (sizeof looks_like_one - 1), looks_like_one, sizeof looks_like_one - 1);
    strcpy(name, "x");
    hello_server_name(records, make_records(records, message, size, 16000), name);
    cr_expect_str_eq(name, "");
}

Test(hello, every_prefix_is_incomplete) {
    static const size_t parts[] = {16000, 9, 1};
    uint8_t message[1024], records[8192];
    size_t size = make_message(message, 0, "example.org", 300);
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        size_t length = make_records(records, message, size, parts[p]);
        for (size_t prefix = 0; prefix < length; prefix++)
            cr_expect_eq(hello_examine(records, prefix), HELLO_INCOMPLETE, "part %zu prefix %zu", parts[p], prefix);
        cr_expect_eq(hello_examine(records, length), HELLO_COMPLETE);
    }
}

Test(hello, what_is_no_hello) {
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"GET / HTTP/1.1\r\n", 16},
        {"gemini://localhost/\r\n", 21},
        {"\x15\x03\x01\x00\x02\x02\x28", 7},         /* an alert */
        {"\x17\x03\x03\x00\x01z", 6},                /* application data */
        {"\x16\x02", 2},                             /* a record version that never existed */
        {"\x16\x03\x01\x00\x00", 5},                 /* an empty fragment */
        {"\x16\x03\x01\x00\x01\x02", 6},             /* a ServerHello */
        {"\x80\x2e\x01\x03\x01", 5},                 /* SSL 2 */
        {"\x16\x03\x01\x00\x04\x01\x00\x40\x00", 9}, /* a ClientHello of 16 kB */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(hello_examine((const uint8_t *)cases[i].bytes, cases[i].length), HELLO_FOREIGN, "case %zu", i);
}

/* The verdict does not depend on how the bytes arrive. */
Test(hello, what_stands_behind_it_counts_for_nothing) {
    static const uint8_t alert[] = {0x15, 3, 1, 0, 2, 1, 0};
    uint8_t message[1024], records[2048];
    char name[HELLO_NAME_MAX + 1];
    size_t length = make_records(records, message, make_message(message, 0, "example.org", 0), 100);
    memcpy(records + length, alert, sizeof alert);
    for (size_t more = 0; more <= sizeof alert; more++)
        cr_expect_eq(hello_examine(records, length + more), HELLO_COMPLETE, "%zu bytes more", more);
    hello_server_name(records, length + sizeof alert, name);
    cr_expect_str_eq(name, "example.org");
}

Test(hello, longest) {
    static uint8_t message[HELLO_MAX * 2], records[HELLO_MAX * 3];
    size_t bare = make_message(message, 0, "example.org", 1) - 1;
    size_t size = make_message(message, 0, "example.org", HELLO_MAX - bare);
    cr_assert_eq(size, HELLO_MAX);
    cr_expect_eq(hello_examine(records, make_records(records, message, size, 16000)), HELLO_COMPLETE);
    size = make_message(message, 0, "example.org", HELLO_MAX - bare + 1);
    cr_expect_eq(hello_examine(records, make_records(records, message, size, 16000)), HELLO_FOREIGN);
    cr_expect_eq(hello_examine(records, make_records(records, message, size, 5000)), HELLO_FOREIGN, "in two records");
    /* many tiny records may not collect more than HELLO_MAX bytes of an unfinished ClientHello, whatever its length */
    cr_assert_gt(make_records(records, message, 4000, 1), HELLO_MAX);
    cr_expect_eq(hello_examine(records, HELLO_MAX), HELLO_FOREIGN);
    make_records(records, message, make_message(message, 0, "example.org", 2000), 1);
    cr_expect_eq(hello_examine(records, HELLO_MAX - 1), HELLO_INCOMPLETE);
    cr_expect_eq(hello_examine(records, HELLO_MAX), HELLO_FOREIGN);
}

/* A ClientHello in records of any size becomes one record, and what follows it does not change. */
Test(hello, joined) {
    static const uint8_t behind[] = {0x14, 3, 3, 0, 1, 1, 0x16, 3, 3};
    static const size_t parts[] = {16000, 300, 9, 4, 3, 2, 1};
    static uint8_t message[1024], records[8192], whole[2048];
    char name[HELLO_NAME_MAX + 1];
    size_t size = make_message(message, 0, "example.org", 300), one = make_records(whole, message, size, 16000);
    memcpy(whole + one, behind, sizeof behind);
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        size_t length = make_records(records, message, size, parts[p]);
        memcpy(records + length, behind, sizeof behind);
        length = hello_join(records, length + sizeof behind);
        cr_expect_eq(length, one + sizeof behind, "parts of %zu", parts[p]);
        cr_expect_eq(memcmp(records, whole, length), 0, "parts of %zu", parts[p]);
        cr_expect_eq(hello_examine(records, length), HELLO_COMPLETE);
        hello_server_name(records, length, name);
        cr_expect_str_eq(name, "example.org");
    }
}

/* The longest ClientHello is joined, too. */
Test(hello, joined_to_the_longest) {
    static uint8_t message[HELLO_MAX * 2], records[HELLO_MAX * 2];
    size_t bare = make_message(message, 0, "example.org", 1) - 1;
    for (size_t more = 0; more < 2; more++) {
        size_t size = make_message(message, 0, "example.org", HELLO_MAX - bare + more);
        size_t length = make_records(records, message, size, 5000);
        cr_assert_eq(size, HELLO_MAX + more);
        cr_expect_eq(hello_join(records, length), more ? length : 5 + size);
        cr_expect_eq(hello_examine(records, 5 + size), more ? HELLO_FOREIGN : HELLO_COMPLETE);
    }
}

/* It may arrive in any pieces, each of which is joined with the pieces before. */
Test(hello, joined_as_it_comes) {
    static uint8_t message[8192], records[65536], kept[HELLO_MAX + 4096];
    size_t size = make_message(message, 0, "example.org", 4000), length = make_records(records, message, size, 1);
    for (size_t step = 1; step < 2000; step = step * 3 + 1) {
        size_t there = 0, most = 0;
        for (size_t at = 0; at < length; at += step) {
            size_t now = length - at < step ? length - at : step;
            memcpy(kept + there, records + at, now);
            there = hello_join(kept, there + now);
            most = there > most ? there : most;
            cr_assert_eq(hello_examine(kept, there), at + now < length ? HELLO_INCOMPLETE : HELLO_COMPLETE);
        }
        cr_expect_eq(there, size + 5, "in steps of %zu", step);
        cr_expect_leq(most, size + 16, "%zu bytes are kept, in steps of %zu", most, step);
    }
}

/* The rest of the record that contains the message's end becomes a separate record. */
Test(hello, joined_up_to_its_end) {
    static uint8_t message[1024], records[2048];
    size_t size = make_message(message, 0, NULL, 0);
    memset(message + size, 0x0b, 20);
    size_t length = make_records(records, message, size + 20, size - 10);
    length = hello_join(records, length);
    cr_assert_eq(length, 5 + size + 5 + 20);
    cr_expect_eq(records[3] << 8 | records[4], (int)size);
    cr_expect_eq(memcmp(records + 5, message, size), 0);
    cr_expect_eq(memcmp(records + 5 + size, "\x16\x03\x01\x00\x14\x0b\x0b", 7), 0);
    /* however long the rest is */
    for (size_t i = 0; i < 300; i++)
        message[size + i] = (uint8_t)(i * 7);
    length = make_records(records, message, size - 10, 16000);
    length += make_records(records + length, message + size - 10, 310, 16000);
    length = hello_join(records, length);
    cr_assert_eq(length, 5 + size + 5 + 300);
    cr_expect_eq(memcmp(records + 5 + size, "\x16\x03\x01\x01\x2c", 5), 0);
    cr_expect_eq(memcmp(records + 5 + size + 5, message + size, 300), 0);
    /* data in a separate record does not change */
    length = make_records(records, message, size, size - 10);
    memcpy(records + length, "\x16\x03\x03\x00\x02\x0b\x0c", 7);
    cr_assert_eq(hello_join(records, length + 7), 5 + size + 7);
    cr_expect_eq(memcmp(records + 5 + size, "\x16\x03\x03\x00\x02\x0b\x0c", 7), 0);
    /* a single record needs no joining, nor does something other than a handshake */
    length = make_records(records, message, size + 20, 16000);
    cr_expect_eq(hello_join(records, length), length);
    cr_expect_eq(records[3] << 8 | records[4], (int)size + 20);
    memcpy(records, "\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00\x17\x03\x03\x00\x01z", 17);
    cr_expect_eq(hello_join(records, 17), 17);
}
