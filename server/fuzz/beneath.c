/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opens paths in a real tree with links. The first lines of the input are the targets of the links l0, l1, ..., at the
 * top and in links/; the last line is the path. Everything that is opened must be inside the tree, and all ways of
 * opening it must have the same result.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"

#define LINKS_MAX 6
#define INSIDE_MAX 64

static char outer[] = "/tmp/vitrine-fuzz-XXXXXX";
static int folder = -1, links;
static struct {
    dev_t device;
    ino_t number;
} inside[INSIDE_MAX];
static size_t inside_count;

static const char *const folders[] = {"", "/in", "/in/a", "/in/a/b", "/in/a/b/c", "/in/links", "/out"};
static const char *const files[] = {"/in/f", "/in/a/f", "/in/a/b/f", "/in/a/b/c/f", "/out/f", "/f"};

static void remember(const char *path) {
    struct stat status;
    HOLDS(stat(path, &status) == 0);
    inside[inside_count].device = status.st_dev;
    inside[inside_count++].number = status.st_ino;
}

static void clean_up(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", outer);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", outer);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    char path[128];
    (void)count, (void)arguments;
    HOLDS(mkdtemp(outer) != NULL);
    atexit(clean_up);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s%s", outer, folders[i]);
        HOLDS(mkdir(path, 0755) == 0 || errno == EEXIST);
        if (strncmp(folders[i], "/in", 3) == 0)
            remember(path);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s%s", outer, files[i]);
        int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        HOLDS(file >= 0);
        close(file);
        if (strncmp(files[i], "/in", 3) == 0)
            remember(path);
    }
    snprintf(path, sizeof path, "%s/in", outer);
    folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/in/links", outer);
    links = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    HOLDS(folder >= 0 && links >= 0);
    return 0;
}

static bool is_inside(const struct stat *status) {
    for (size_t i = 0; i < inside_count; i++) {
        if (inside[i].device == status->st_dev && inside[i].number == status->st_ino)
            return true;
    }
    return false;
}

/* Returns the error, or 0 and what was opened. */
static int open_one(int (*way)(int, const char *, int), const char *path, int flags, struct stat *status) {
    int result = way(folder, path, flags);
    if (result < 0)
        return result;
    HOLDS(fstat(result, status) == 0);
    HOLDS(fcntl(result, F_GETFD) & FD_CLOEXEC);
    HOLDS(is_inside(status));
    HOLDS(!(flags & O_DIRECTORY) || S_ISDIR(status->st_mode));
    close(result);
    return 0;
}

/* The longest path of a folder that was shown. */
static char shown[BENEATH_PATH_SIZE];

static int show(struct beneath_path *path) {
    struct stat status;
    HOLDS(fstat(path->folder, &status) == 0 && S_ISDIR(status.st_mode) && is_inside(&status));
    HOLDS(path->reached > 0 && path->text[path->reached - 1] == '/');
    snprintf(shown, sizeof shown, "%.*s", (int)path->reached, path->text);
    return 0;
}

/*
 * Opening a confined path must give the same file as opening a free one, or fail. If it succeeds, its text names
 * exactly that file: it contains no link, begins with the target of the first name, and each of its folders was shown.
 * Returns 0 or the error.
 */
static int check_confined(const char *text, int flags, const struct stat *free_one) {
    struct beneath_path path = {.is_confined = true, .enter = show};
    char whole[BENEATH_PATH_SIZE + sizeof outer + 8], real[PATH_MAX];
    struct stat status;
    if (strlen(text) >= sizeof path.text)
        return -ENAMETOOLONG;
    strcpy(path.text, text);
    shown[0] = '\0';
    int result = beneath_follow(&path, folder, flags);
    if (result >= 0) {
        HOLDS(fstat(result, &status) == 0 && status.st_ino == free_one->st_ino);
        close(result);
        size_t end = strlen(path.text);
        while (end > 0 && path.text[end - 1] == '/')
            end--;
        snprintf(whole, sizeof whole, "%s/in%s%.*s", outer, end > 0 ? "/" : "", (int)end, path.text);
        HOLDS(realpath(whole, real) && strcmp(real, whole) == 0);
        HOLDS(path.root <= strlen(path.text));
        /* A walk to a folder may start again after a link, and end before it has shown another folder. */
        HOLDS(path.reached == 0 || strlen(shown) == path.reached);
        HOLDS(strncmp(path.text, shown, path.reached) == 0);
        HOLDS(strchr(path.text + path.reached, '/') == NULL || strchr(path.text + path.reached, '/')[1] == '\0');
    }
    beneath_leave(&path);
    return result < 0 ? result : 0;
}

static void check(const char *path, int flags) {
    struct stat one, other;
    int result = open_one(beneath_open, path, flags, &one), walked = open_one(beneath_walk, path, flags, &other);
    HOLDS((result == 0) == (walked == 0));
    if (result == 0)
        HOLDS(one.st_ino == other.st_ino);
    HOLDS(check_confined(path, flags, &one) < 0 || result == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *text = fuzz_string(bytes, size), *line = text, name[8];
    int count = 0;
    size_t before = fuzz_descriptors();
    for (char *end; count < LINKS_MAX && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        snprintf(name, sizeof name, "l%d", count);
        if (symlinkat(line, links, name) < 0)
            break;
        HOLDS(symlinkat(line, folder, name) == 0);
        count++;
    }
    check(line, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    check(line, O_PATH | O_DIRECTORY);
    check(line, O_PATH);
    while (count-- > 0) {
        snprintf(name, sizeof name, "l%d", count);
        unlinkat(links, name, 0);
        unlinkat(folder, name, 0);
    }
    HOLDS(fuzz_descriptors() == before);
    free(text);
    return 0;
}
