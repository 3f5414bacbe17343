/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kept pages and metadata in a real tree: each change takes effect at once, and only public content is kept. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/capsule.h"
#include "content/file_version.h"
#include "content/folder_listing.h"
#include "content/kept.h"
#include "content/page_cache.h"
#include "content/path_rules.h"
#include "pretended.h"

static char root[] = "/tmp/vitrine-kept-XXXXXX";
static struct capsules capsules;
static struct reply reply;

static void run(const char *commands) {
    char command[1024];
    snprintf(command, sizeof command, "cd %s && { %s; }", root, commands);
    cr_assert_eq(system(command), 0, "%s", commands);
}

static void begin(void) {
    cr_assert_not_null(mkdtemp(root));
    run("mkdir -p host/a/b other sub/inner; echo one >host/page.gmi; echo two >host/a/b/page.gmi; "
        "echo three >host/a/b/index.gemini; echo '**/*.gmi: ;lang=de' >host/a/.meta; echo '#' >host/a/b/.meta; "
        "ln -s page.gmi host/link.gmi; ln -s a host/folder; ln -s host alias; echo four >sub/inner/page.gmi; "
        "ln -s sub/inner deep; echo '*: ;lang=nl' >host/rules; ln -s ../rules host/a/b/.more; echo >other/page.gmi; "
        "mkdir host/links; ln -s ../rules host/links/now; echo '*: ;lang=pt' >host/links/next");
    cr_assert_eq(capsules_open(&capsules, root), 0);
    file_version_below(capsules.folder);
    kept_open(1048576);
    reply.body = -1;
    usleep(50000); /* after the clock tick in which all this was made */
    pretended_time = real_time() + 10;
}

static void end(void) {
    char command[128];
    reply_dispose(&reply);
    kept_open(0);
    capsules_close(&capsules);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(page_cache, .init = begin, .fini = end, .timeout = 30);

/* Returns the text, or NULL if the reply has none. */
static const struct reply_text *get(const char *host, const char *path) {
    char line[1200];
    struct request request;
    struct client client = {0};
    int length = snprintf(line, sizeof line, "gemini://%s%s\r\n", host, path);
    cr_assert_eq(request_parse(line, (size_t)length, &request), REQUEST_VALID, "%s", path);
    reply_dispose(&reply);
    capsules_answer(&capsules, &request, &client, &reply);
    return reply.text;
}

/* Returns what a client gets: the header, a colon, and the body. */
static const char *answer(const char *host, const char *path) {
    static char all[2048], body[128];
    ssize_t size = 0;
    get(host, path);
    if (reply.text)
        memcpy(body, reply.text->bytes, (size_t)(size = (ssize_t)reply.text->size));
    else if (reply.body >= 0)
        size = pread(reply.body, body, sizeof body, 0);
    cr_expect_eq(size, (ssize_t)reply.body_size);
    snprintf(all, sizeof all, "%d %s:%.*s", (int)reply.status, reply.meta, (int)size, body);
    return all;
}

Test(page_cache, pages_are_kept) {
    static const struct {
        const char *host, *path, *answer;
    } pages[] = {
        {"host", "/page.gmi", "20 text/gemini:one\n"},
        {"host", "/page.gmi?query", "20 text/gemini:one\n"},
        {"host", "/link.gmi", "20 text/gemini:one\n"},
        {"alias", "/page.gmi", "20 text/gemini:one\n"},
        {"deep", "/page.gmi", "20 text/gemini:four\n"},
        {"host", "/a/b/page.gmi", "20 text/gemini;lang=de:two\n"},
        {"host", "/folder/b/page.gmi", "20 text/gemini;lang=de:two\n"},
        {"host", "/a/b/", "20 text/gemini:three\n"},
    };
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        cr_expect_str_eq(answer(pages[i].host, pages[i].path), pages[i].answer);
        const struct reply_text *text = reply.text;
        cr_assert_not_null(text, "%s%s is not kept", pages[i].host, pages[i].path);
        cr_expect_eq(get(pages[i].host, pages[i].path), text);
        cr_expect_eq(text->holders, 2, "the one that is kept, and this answer");
        cr_expect_str_eq(answer(pages[i].host, pages[i].path), pages[i].answer);
    }
}

/* To find a page in the root of its capsule in memory, two files are checked: the capsule and the page. */
Test(page_cache, a_page_depends_on_what_it_needs) {
    static char path[16];
    struct trail trail;
    struct stat status;
    cr_assert_eq(fstat(capsules.folder, &status), 0);
    trail_begin(&trail);
    for (int i = 0; i < TRAIL_STEPS; i++) {
        snprintf(path, sizeof path, "%d", i);
        trail_add(&trail, path, strlen(path), &status);
        trail_add(&trail, path, strlen(path), &status);
        cr_expect_eq(trail.count, (size_t)i + 1, "each once");
    }
    cr_expect_not(trail.is_incomplete);
    cr_expect(trail_is_settled(&trail, status.st_ctime + FILE_VERSION_TICK + 1));
    cr_expect_not(trail_is_settled(&trail, status.st_ctime + FILE_VERSION_TICK));
    cr_expect_not(trail_is_settled(&trail, status.st_ctime - 1000));
    trail_add(&trail, "one more", 8, &status);
    cr_expect(trail.is_incomplete);
    cr_expect_not(trail_is_settled(&trail, status.st_ctime + 100));
    trail_begin(&trail);
    trail_add(&trail, ".", 1, NULL);
    cr_expect(trail.is_incomplete);
    trail_begin(&trail);
    trail_add(&trail, ".", 1, &status);
    cr_expect(trail_holds(capsules.folder, trail.steps, 1, trail.paths));
    run("mkdir new");
    cr_expect_not(trail_holds(capsules.folder, trail.steps, 1, trail.paths));
}

Test(page_cache, what_has_just_changed_is_not_kept) {
    static const char *const touched[] = {"host/page.gmi", "host"};
    struct stat status;
    char path[64];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", root, touched[i]);
        cr_assert_eq(chmod(path, i == 0 ? 0644 : 0755), 0);
        cr_assert_eq(stat(path, &status), 0);
        pretended_time = status.st_ctime + FILE_VERSION_TICK;
        cr_expect_null(get("host", "/page.gmi"), "%s", touched[i]);
        cr_expect_geq(reply.body, 0);
        pretended_time++;
        cr_expect_not_null(get("host", "/page.gmi"));
        pretended_time += KEPT_SECONDS;
    }
}

/* Large, protected and other content is read from its file each time. */
Test(page_cache, what_is_not_kept) {
    run("mkdir host/club host/club/room host/none; touch host/club/.access; echo >host/club/room/page.gmi; "
        "head -c 16385 /dev/zero >host/large; head -c 16384 /dev/zero >host/largest; : >host/empty.gmi; "
        "touch host/none/.directory-listing-ok; echo 'gone.gmi: 52 Gone' >host/none/.meta");
    usleep(50000);
    pretended_time = real_time() + 20;
    cr_expect_null(get("host", "/large"));
    cr_expect_eq(reply.body_size, 16385);
    cr_expect_not_null(get("host", "/largest"));
    cr_expect_not_null(get("host", "/empty.gmi"));
    cr_expect_str_eq(answer("host", "/empty.gmi"), "20 text/gemini:");
    get("host", "/none/");
    reply_dispose(&reply);
    size_t total = kept_total();
    cr_expect_str_eq(answer("host", "/none/gone.gmi"), "52 Gone:");
    cr_expect_str_eq(answer("host", "/missing.gmi"), "51 Not found:");
    cr_expect_str_eq(answer("host", "/club/room/page.gmi"), "60 This folder needs a client certificate:");
    cr_expect_eq(kept_total(), total);
}

/* Access of members is decided each time, and protected pages are not kept. */
Test(page_cache, members) {
    struct client ada = {.has_certificate = true, .certificate_state = CERTIFICATE_VALID};
    memset(ada.fingerprint, 'a', CLIENT_FINGERPRINT);
    run("mkdir host/club; printf %064d 0 | tr 0 a >host/club/.access; echo secret >host/club/page.gmi; "
        "ln -s club/page.gmi host/through.gmi");
    usleep(50000);
    pretended_time = real_time() + 20;
    static const char *const paths[] = {"gemini://host/club/page.gmi\r\n", "gemini://host/through.gmi\r\n"};
    for (int i = 0; i < 4; i++) {
        struct request request;
        cr_assert_eq(request_parse(paths[i % 2], strlen(paths[i % 2]), &request), REQUEST_VALID);
        reply_dispose(&reply);
        capsules_answer(&capsules, &request, &ada, &reply);
        cr_expect_eq(reply.status, STATUS_SUCCESS);
        cr_expect_geq(reply.body, 0);
        cr_expect_null(reply.text);
        cr_expect_str_eq(answer("host", i % 2 ? "/through.gmi" : "/club/page.gmi"),
                         "60 This folder needs a client certificate:");
    }
}

/* Each change is made after all pages were kept: the next response must be the new one. */
Test(page_cache, changes_count_at_once) {
    static const struct {
        const char *change, *host, *path, *answer;
    } changes[] = {
        {"printf ONE | dd of=host/page.gmi conv=notrunc status=none", "host", "/page.gmi", "20 text/gemini:ONE\n"},
        {"touch -r host/page.gmi t; printf ENO | dd of=host/page.gmi conv=notrunc status=none; touch -r t "
         "host/page.gmi",
         "host", "/page.gmi", "20 text/gemini:ENO\n"},
        {"echo 111 >new; mv new host/page.gmi", "host", "/link.gmi", "20 text/gemini:111\n"},
        {"echo 222 >new; touch -r host/page.gmi new; mv new host/page.gmi", "alias", "/page.gmi",
         "20 text/gemini:222\n"},
        {"printf '**/*.gmi: ;lang=fr' | dd of=host/a/.meta conv=notrunc status=none", "host", "/a/b/page.gmi",
         "20 text/gemini;lang=fr:two\n"},
        {"echo 'page.gmi: ;lang=it' >host/a/b/.meta", "host", "/folder/b/page.gmi", "20 text/gemini;lang=it:two\n"},
        {"rm host/a/b/.meta host/a/.meta", "host", "/a/b/page.gmi", "20 text/gemini:two\n"},
        {"echo 'page.gmi: 52 Gone' >host/.meta", "host", "/page.gmi", "52 Gone:"},
        {"rm host/.meta; ln -s a/b/page.gmi new; mv new host/link.gmi", "host", "/link.gmi", "20 text/gemini:two\n"},
        {"ln -s rules host/a/b/new; mv host/rules host/a/b/; mv host/a/b/new host/a/b/.meta", "host", "/a/b/page.gmi",
         "20 text/gemini;lang=nl:two\n"},
        {"echo '*: ;lang=es' >host/a/b/rules", "host", "/a/b/page.gmi", "20 text/gemini;lang=es:two\n"},
        {"rm host/a/b/.meta", "host", "/a/b/page.gmi", "20 text/gemini:two\n"},
        {"ln -s ../../links/now host/a/b/.meta; echo '*: ;lang=nl' >host/rules", "host", "/a/b/page.gmi",
         "20 text/gemini;lang=nl:two\n"},
        {"mv host/links/next host/links/now", "host", "/a/b/page.gmi", "20 text/gemini;lang=pt:two\n"},
        {"rm host/a/b/.meta host/rules", "host", "/a/b/page.gmi", "20 text/gemini:two\n"},
        {"echo four >host/a/b/index.gmi", "host", "/a/b/", "20 text/gemini:four\n"},
        {"mkdir -p new/b; echo five >new/b/page.gmi; mv host/a old; mv new host/a", "host", "/a/b/page.gmi",
         "20 text/gemini:five\n"},
        {"mv host/a host/c; mv old host/a", "host", "/folder/b/page.gmi", "20 text/gemini:two\n"},
        {"ln -s c new; mv -T new host/folder", "host", "/folder/b/page.gmi", "20 text/gemini:five\n"},
        {"ln -s other new; mv -T new alias", "alias", "/page.gmi", "20 text/gemini:\n"},
        {"ln -s host new; mv -T new alias", "alias", "/page.gmi", "20 text/gemini:222\n"},
        {"mv host/a/b x; ln -s ../c/b host/a/b", "host", "/a/b/page.gmi", "20 text/gemini:five\n"},
        {"touch host/a/.access; rm host/a/b; mv x host/a/b", "host", "/a/b/page.gmi",
         "60 This folder needs a client certificate:"},
        {"rm host/a/.access", "host", "/a/b/page.gmi", "20 text/gemini:two\n"},
        {"touch host/.access", "host", "/page.gmi", "60 This folder needs a client certificate:"},
        {"rm host/.access; mv host/page.gmi host/x", "host", "/page.gmi", "51 Not found:"},
        {"mkdir host/page.gmi", "host", "/page.gmi", "31 /page.gmi/:"},
        {"mv sub/inner sub/x; mkdir sub/inner; echo six >sub/inner/page.gmi", "deep", "/page.gmi",
         "20 text/gemini:six\n"},
        {"rm -r sub", "deep", "/page.gmi", "53 This host is not served here:"},
    };
    static const char *const hosts[] = {"host", "alias", "deep"};
    static const char *const paths[] = {"/page.gmi", "/link.gmi", "/a/b/page.gmi", "/folder/b/page.gmi", "/a/b/"};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        usleep(20000);
        pretended_time += KEPT_SECONDS;
        for (size_t j = 0; j < 15; j++)
            get(hosts[j / 5], paths[j % 5]);
        run(changes[i].change);
        cr_expect_str_eq(answer(changes[i].host, changes[i].path), changes[i].answer, "%s: %s%s is %s",
                         changes[i].change, changes[i].host, changes[i].path, answer(changes[i].host, changes[i].path));
    }
}

/* Metadata is kept for files of any size; for a kept page, it is not read again. */
Test(page_cache, metadata_is_kept) {
    run("head -c 20000 /dev/zero >host/a/b/large.gmi");
    usleep(50000);
    pretended_time = real_time() + 20;
    cr_expect_eq(kept_total(), 0);
    cr_expect_null(get("host", "/a/b/large.gmi"));
    cr_expect_str_eq(reply.meta, "text/gemini;lang=de");
    size_t total = kept_total();
    cr_expect_gt(total, 0);
    for (int i = 0; i < 3; i++) {
        get("host", "/a/b/large.gmi");
        cr_expect_str_eq(reply.meta, "text/gemini;lang=de");
        cr_expect_eq(kept_total(), total);
    }
    usleep(20000);
    run("echo '*: ;lang=fr' >host/a/b/.meta");
    get("host", "/a/b/large.gmi");
    cr_expect_str_eq(reply.meta, "text/gemini;lang=fr");
}

/* Gives up root, which can read everything, or becomes root again. Returns whether that worked. */
static bool be(uid_t user) {
    return geteuid() == user || (getuid() == 0 && seteuid(user) == 0);
}

/* A file that could not be read may become readable without a change of any version that was checked. */
Test(page_cache, nothing_is_kept_without_its_metadata) {
    static const char *const paths[] = {"/a/page.gmi", "/a/large.gmi"};
    uid_t usual = geteuid();
    run("chmod 755 .; echo five >host/a/page.gmi; head -c 20000 /dev/zero >host/a/large.gmi; chmod 0 host/a/.meta");
    usleep(50000);
    pretended_time = real_time() + 20;
    cr_assert(be(usual == 0 ? 65534 : usual));
    for (size_t i = 0; i < 2; i++) {
        get("host", paths[i]);
        cr_expect_str_eq(reply.meta, "text/gemini");
        cr_expect_null(reply.text, "%s is kept without its metadata", paths[i]);
    }
    cr_expect_eq(kept_total(), 0);
    cr_assert(be(usual));
    run("chmod 644 host/a/.meta");
    cr_assert(be(usual == 0 ? 65534 : usual));
    for (size_t i = 0; i < 2; i++) {
        get("host", paths[i]);
        cr_expect_str_eq(reply.meta, "text/gemini;lang=de", "%s: %s", paths[i], reply.meta);
    }
    cr_assert(be(usual));
}

/* Is the metadata in this file kept? */
static bool metadata_stays(const char *path) {
    struct stat status;
    cr_assert_eq(fstatat(capsules.folder, path, &status, 0), 0);
    const struct file_version version = file_version_of(&status);
    return kept_find(KEPT_METADATA, &version, sizeof version) != NULL;
}

/* Each capsule has its own share for pages and metadata: the one with the most loses its own. */
Test(page_cache, a_capsule_with_much_takes_nothing_from_another) {
    /* Kept pages, and metadata of pages that are too large to keep; also through an alias. */
    static const char *const hosts[] = {"other", "guest"}, *const paths[] = {"/%d.gmi", "/%d/large.gmi"};
    char path[32];
    run("for i in $(seq 40); do mkdir other/$i; head -c 3000 /dev/zero >other/$i.gmi; "
        "head -c 20000 /dev/zero >other/$i/large.gmi; { echo '*: ;lang=fr'; yes '# rule' | head -n 400; } "
        ">other/$i/.meta; done; ln -s other guest; echo '*: ;lang=de' >host/.meta");
    usleep(50000);
    pretended_time = real_time() + 20;
    for (size_t round = 0; round < 4; round++) {
        const char *pattern = paths[round / 2];
        kept_open(65536);
        get("host", "/page.gmi");
        struct reply_text *text = reply_text_share(reply.text); /* holds it, so that another one has another address */
        cr_assert_not_null(text);
        cr_assert(metadata_stays("host/.meta"));
        for (int i = 1; i <= 40; i++) {
            snprintf(path, sizeof path, pattern, i);
            get(hosts[round % 2], path);
            cr_expect_eq(reply.status, STATUS_SUCCESS);
        }
        cr_expect_gt(kept_total(), 65536 - 6000, "%s: %zu: it was never full", pattern, kept_total());
        cr_expect(metadata_stays("host/.meta"), "beside many %s", pattern);
        cr_expect_eq(get("host", "/page.gmi"), text, "beside many %s", pattern);
        reply_text_release(text);
    }
}

/*
 * Two images with fixed times contain files with the same version, and the second image may get the device number of
 * the first. So nothing is kept that is mounted within the content folder.
 */
Test(page_cache, nothing_mounted_is_kept) {
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        cr_skip("only root may mount");
    char at[64];
    snprintf(at, sizeof at, "%s/host/a", root);
    cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    /* The opened folder belongs to the previous mount namespace. */
    capsules_close(&capsules);
    cr_assert_eq(capsules_open(&capsules, root), 0);
    cr_assert_eq(mount("none", at, "tmpfs", 0, NULL), 0);
    run("echo five >host/a/page.gmi; echo '*: ;lang=fr' >host/a/.meta; mkdir host/a/list; echo "
        ">host/a/list/.directory-listing-ok");
    usleep(50000);
    pretended_time = real_time() + 20;
    cr_expect_str_eq(answer("host", "/a/page.gmi"), "20 text/gemini;lang=fr:five\n");
    cr_expect_eq(kept_total(), 0);
    get("host", "/a/list/");
    cr_expect_eq(reply.status, 20, "%d %s", (int)reply.status, reply.meta);
    reply_dispose(&reply);
    cr_expect_eq(folder_listing_total(), 0);
    cr_assert_eq(umount(at), 0, "nothing holds it");
    get("host", "/page.gmi");
    cr_expect_gt(kept_total(), 0, "the folder itself is kept");
}
