/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/media.h"

#include <criterion/criterion.h>
#include <string.h>

Test(media, type_by_ending) {
    static const struct {
        const char *name, *type;
    } cases[] = {
        {"index.gmi", "text/gemini"},
        {"index.gemini", "text/gemini"},
        {"INDEX.GMI", "text/gemini"},
        {"h/a.b/c.gmi", "text/gemini"},
        {"notes.txt", "text/plain"},
        {"robots.txt", "text/plain"},
        {"page.md", "text/markdown"},
        {"page.html", "text/html"},
        {"feed.atom", "application/atom+xml"},
        {"data.xml", "application/xml"},
        {"book.gpub", "application/gpub+zip"},
        {"book.epub", "application/epub+zip"},
        {"a.png", "image/png"},
        {"a.JPG", "image/jpeg"},
        {"a.jpeg", "image/jpeg"},
        {"a.gif", "image/gif"},
        {"a.webp", "image/webp"},
        {"a.svg", "image/svg+xml"},
        {"a.pdf", "application/pdf"},
        {"a.mp3", "audio/mpeg"},
        {"a.ogg", "audio/ogg"},
        {"a.zip", "application/zip"},
        {"A.ZIP", "application/zip"},
        {"a.AZ", "application/octet-stream"},
        {"a.c", "text/x-csrc"},
        {"a.sh", "text/x-sh"},
        {"a.b.c.txt", "text/plain"},
        {"a.gmi.txt", "text/plain"},
        {"a.sarif.json", "application/sarif+json"},
        {"a.other.json", "application/json"},
        {"gmi", "application/octet-stream"},
        {"README", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {".gmi", "application/octet-stream"},
        {"a.gmi/b", "application/octet-stream"},
        {"a.gmi/", "application/octet-stream"},
        {"a.no-such-ending", "application/octet-stream"},
        {"a.gm", "application/octet-stream"},
        {"a.gmix", "application/octet-stream"},
        {"a.gmi ", "application/octet-stream"},
        {"a.\xc3\xa4", "application/octet-stream"},
        {"a.endingsthatareverymuchlongerthananythatthetableholds", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(media_type(cases[i].name), cases[i].type, "%s: %s", cases[i].name, media_type(cases[i].name));
}
