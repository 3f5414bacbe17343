/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "content/uri_host.h"

Test(uri_host, names_of_capsules) {
    static const struct {
        const char *name, *authority; /* NULL: no client can request it */
    } names[] = {
        {"example.org", "example.org"},
        {"localhost", "localhost"},
        {"default", "default"},
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"192.0.2.1", "192.0.2.1"},
        {"::1", "[::1]"},
        {"2001:db8::1", "[2001:db8::1]"},
        {"2001:db8:0::1", NULL},
        {"Example.org", NULL},
        {"example.org.", NULL},
        {"example.org:1965", NULL},
        {"bad name", NULL},
        {"a@b", NULL},
        {"50%", NULL},
        {"b\xfc"
         "cher.example",
         NULL},
    };
    char authority[URI_HOST_SIZE], longest[300];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool written = uri_host_write(authority, names[i].name);
        cr_expect_eq(written, names[i].authority != NULL, "'%s'", names[i].name);
        if (written && names[i].authority)
            cr_expect_str_eq(authority, names[i].authority);
    }
    memset(longest, 'a', sizeof longest);
    longest[254] = '\0';
    cr_expect_not(uri_host_write(authority, longest));
    longest[253] = '\0';
    cr_expect(uri_host_write(authority, longest));
}
