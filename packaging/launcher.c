/* The program `smtpmock` on Linux: starts the frozen program on the C library that travels with it.
 *
 * The frozen program needs the glibc that it was built with, or a later one. Alpine has none, an empty container has
 * no C library at all, and an old distribution has an old one. So a glibc lies in the folder smtpmock-files, and this
 * static program, which any Linux runs, becomes that glibc's loader, which becomes the frozen program. It is one
 * process from the first to the last, so that whoever spawned it can signal it, and wait for it.
 *
 * - $ORIGIN is the folder of the program that the loader loads, expanded by the loader itself. Not: the folder's
 *   path, because the loader splits what it is given at each colon and semicolon.
 * - PyInstaller's bootloader would set LD_LIBRARY_PATH, again by the path, and restart itself. The variables _PYI_*
 *   are those by which it knows that it has done so; a bootloader that has others restarts, and still works.
 * - LD_* of the caller's name libraries of another glibc; here they would end the program, or be loaded into it.
 * - Not: the loader's --argv0, because by argv[0] the bootloader finds itself.
 */
#define _GNU_SOURCE /* for environ */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define FILES "smtpmock-files"

static char *const PLACES[] = {"/" FILES, "/../lib/" FILES};

/* In one line, whatever bytes a path has. */
static void print(const char *text) {
    for (; *text; text++)
        fprintf(stderr, (unsigned char)*text < ' ' || *text == 127 ? "\\x%02x" : "%c", (unsigned char)*text);
}

/* As the program itself says that it can't start. */
static void fail(const char *what, const char *first, const char *between, const char *second) {
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm *local = localtime(&now);
    if (local)
        strftime(stamp, sizeof stamp, "%Y/%m/%d %H:%M:%S ", local);
    fprintf(stderr, "%sFailed to start SMTP mock server: %s", stamp, what);
    print(first);
    fputs(between, stderr);
    print(second);
    fputs("\n", stderr);
    exit(1);
}

static char *join(const char *one, const char *other) {
    char *joined = malloc(strlen(one) + strlen(other) + 1);
    if (!joined)
        fail("out of memory", "", "", "");
    return strcat(strcpy(joined, one), other);
}

/* The folder that this program lies in, with no symbolic link in its path. */
static char *own_folder(void) {
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    const char *executed = (const char *)getauxval(AT_EXECFN);
    if (length < 0 && !(executed && realpath(executed, path))) /* no /proc: what the kernel was asked to run */
        fail("cannot find its own folder: ", strerror(errno), "", "");
    *strrchr(path, '/') = 0;
    return path;
}

/* Of the places where the folder may be, the first that has it. */
static char *files_of(const char *folder) {
    char *tried[2], resolved[PATH_MAX];
    for (int i = 0; i < 2; i++)
        if (realpath(tried[i] = join(folder, PLACES[i]), resolved))
            return join(resolved, "");
    fail("the folder " FILES " is missing: it is neither ", tried[0], " nor ", tried[1]);
    return NULL;
}

static void keep_environment(const char *program) {
    char name[17] = "smtpmock";
    char **kept = environ;
    for (char **each = environ; *each; each++)
        if (strncmp(*each, "LD_", 3))
            *kept++ = *each;
    *kept = NULL;
    prctl(PR_GET_NAME, name);
    if (setenv("_PYI_ARCHIVE_FILE", program, 1) || setenv("_PYI_PARENT_PROCESS_LEVEL", "0", 1) ||
        setenv("_PYI_LINUX_PROCESS_NAME", name, 1))
        fail("out of memory", "", "", "");
}

int main(int argc, char **argv) {
    char *files = files_of(own_folder());
    char *loader = join(files, "/" LOADER), *program = join(files, "/smtpmock");
    char **words = calloc(argc + 5, sizeof *words);
    if (!words)
        fail("out of memory", "", "", "");
    words[0] = argc ? argv[0] : "smtpmock";
    words[1] = "--library-path";
    words[2] = "$ORIGIN";
    words[3] = program;
    for (int i = 1; i < argc; i++)
        words[i + 3] = argv[i];
    keep_environment(program);
    if (!access(program, R_OK))
        execv(loader, words);
    fail("cannot run ", access(loader, X_OK) ? loader : program, ": ", strerror(errno));
}
