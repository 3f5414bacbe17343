/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

#include "worker/client_address.h"

static struct client_address parse(const char *text) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return client_address_of_socket((struct sockaddr *)&four);
    cr_assert_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return client_address_of_socket((struct sockaddr *)&six);
}

static const uint8_t key[KEYED_HASH_KEY] = {1, 2, 3}, other_key[KEYED_HASH_KEY] = {4};

Test(client_address, what_the_log_may_say) {
    static const struct {
        const char *address, *partial, *full;
    } addresses[] = {
        {"192.0.2.77", "192.0.2.0", "192.0.2.77"},
        {"::ffff:192.0.2.77", "192.0.2.0", "192.0.2.77"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1::", "2001:db8:1:2:3:4:5:6"},
        {"::1", "::", "::1"},
        {"2001:db8:1:ff00::1", "2001:db8:1::", "2001:db8:1:ff00::1"},
    };
    char shown[CLIENT_ADDRESS_SHOWN_MAX], again[CLIENT_ADDRESS_SHOWN_MAX];
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct client_address address = parse(addresses[i].address);
        cr_expect_str_eq(client_address_show(shown, &address, LOG_ADDRESSES_OFF, key), "");
        cr_expect_str_eq(client_address_show(shown, &address, LOG_ADDRESSES_PARTIAL, key), addresses[i].partial);
        cr_expect_str_eq(client_address_show(shown, &address, LOG_ADDRESSES_FULL, key), addresses[i].full);
        cr_expect_eq(strlen(client_address_show(shown, &address, LOG_ADDRESSES_HASHED, key)), 16);
        cr_expect_str_eq(client_address_show(again, &address, LOG_ADDRESSES_HASHED, key), shown,
                         "the same as long as the key");
        cr_expect_str_neq(client_address_show(again, &address, LOG_ADDRESSES_HASHED, other_key), shown);
    }
}

/* Limits for one address do not apply to these. */
Test(client_address, which_are_of_this_machine) {
    static const struct {
        const char *address;
        bool is;
    } cases[] = {
        {"127.0.0.1", true},    {"127.255.255.254", true},  {"::ffff:127.0.0.1", true},
        {"::1", true},          {"126.255.255.255", false}, {"128.0.0.1", false},
        {"192.0.2.127", false}, {"0.0.0.0", false},         {"::", false},
        {"::2", false},         {"::127.0.0.1", false},     {"1::1", false},
        {"::1:0:0:1", false},   {"7f00::1", false},         {"2001:db8::1", false},
        {"fe80::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client_address address = parse(cases[i].address);
        cr_expect_eq(client_address_is_loopback(&address), cases[i].is, "%s", cases[i].address);
    }
    cr_expect_not(client_address_is_loopback(&(struct client_address){0}));
}

Test(client_address, who_is_in_the_same_groups) {
    static const struct {
        const char *one, *other;
        const char *same; /* for each group, the narrowest first */
    } pairs[] = {
        {"192.0.2.1", "192.0.2.1", "yy"},
        {"192.0.2.1", "192.0.2.2", "ny"},
        {"192.0.2.1", "192.0.3.1", "nn"},
        {"192.0.2.1", "::ffff:192.0.2.1", "yy"},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "yyy"},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", "nyy"},
        {"2001:db8:1:200::1", "2001:db8:1:2ff::1", "nyy"},
        {"2001:db8:1:200::1", "2001:db8:1:300::1", "nny"},
        {"2001:db8:1:2::1", "2001:db8:2:2::1", "nnn"},
        {"64:ff9b::c000:201", "192.0.2.1", "yy"}, /* behind NAT64 */
        {"64:ff9b::c000:201", "64:ff9b::c000:301", "nn"},
        {"64:ff9b:0:1::c000:201", "64:ff9b:0:1::c000:301", "yyy"}, /* contains no IPv4 address */
        {"64:ff9b::1:c000:201", "64:ff9b::1:c000:301", "yyy"},     /* neither does this */
        {"2002:c000:201:1::1", "192.0.2.1", "yy"},                 /* 6to4 */
        {"2002:c000:201:1::1", "2002:c000:301:1::1", "nn"},
        {"2001:0:c633:6401:8000:63bf:3fff:fdfe", "192.0.2.1", "yy"}, /* Teredo */
        {"2001:0:c633:6401:8000:63bf:3fff:fdfe", "2001:0:c633:6401:8000:63bf:3fff:fcfe", "nn"},
        {"2001:1:1:2::1", "2001:1:1:2:ffff::1", "yyy"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct client_address one = parse(pairs[i].one), other = parse(pairs[i].other);
        struct address_group ones[CLIENT_ADDRESS_GROUPS_MAX], others[CLIENT_ADDRESS_GROUPS_MAX];
        size_t count = client_address_groups(&one, ones);
        cr_assert_eq(client_address_groups(&other, others), count);
        cr_assert_eq(count, strlen(pairs[i].same));
        for (size_t group = 0; group < count; group++) {
            cr_expect_eq(memcmp(&ones[group], &others[group], sizeof *ones) == 0, pairs[i].same[group] == 'y',
                         "%s, %s: /%d", pairs[i].one, pairs[i].other, ones[group].bits);
            cr_expect(group == 0 ? ones[group].times == 1 : ones[group].times > ones[group - 1].times);
        }
    }
    /* The width of each group, and how many times the limit of one client it has. */
    static const struct {
        const char *address;
        uint8_t bits[CLIENT_ADDRESS_GROUPS_MAX], times[CLIENT_ADDRESS_GROUPS_MAX];
    } widths[] = {{"192.0.2.1", {32, 24}, {1, 4}}, {"2001:db8::1", {64, 56, 48}, {1, 4, 8}}};
    for (size_t i = 0; i < 2; i++) {
        struct client_address address = parse(widths[i].address);
        struct address_group groups[CLIENT_ADDRESS_GROUPS_MAX];
        size_t count = client_address_groups(&address, groups);
        for (size_t group = 0; group < count; group++) {
            cr_expect_eq(groups[group].bits, widths[i].bits[group], "%s, %zu", widths[i].address, group);
            cr_expect_eq(groups[group].times, widths[i].times[group], "%s, %zu", widths[i].address, group);
        }
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct client_address none = client_address_of_socket(&local);
    cr_expect_eq(memcmp(&none, &(struct client_address){0}, sizeof none), 0);
}
