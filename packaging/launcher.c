/* The program `smtpmock` on Linux: starts the frozen program on the C library that travels with it.
 *
 * The frozen program needs the glibc that it was built with, or a later one. Alpine has none, an empty container has
 * no C library at all, and an old distribution has an old one. So a glibc is in the folder smtpmock-files, and this
 * static program, which any Linux runs, becomes that glibc's loader, which becomes the frozen program: one process
 * from the first exec to the last, so that whoever spawned it can signal it and wait for it.
 *
 * - $ORIGIN is the folder of the program that the loader loads; the loader expands it. Not: the folder's path,
 *   because the loader splits what it is given at each colon and semicolon.
 * - Not: the loader's --argv0, because the bootloader of PyInstaller finds itself by argv[0].
 * - That bootloader would set LD_LIBRARY_PATH, again by the path, and restart itself. By the variables _PYI_* it
 *   knows that it already has; one that used other variables would restart, and still work.
 * - LD_* are removed, because the caller's name libraries for another C library.
 * - LC_ALL is C, in which Python takes all text for UTF-8, as go-smtp-mock does; in any other locale this C library
 *   would load files and modules of the host's.
 */
#define _GNU_SOURCE /* for environ and syscall() */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILES "smtpmock-files"

/* In one line, whatever bytes a path has. */
static void print(const char *text) {
    for (; *text; text++)
        fprintf(stderr, (unsigned char)*text < ' ' || *text == 127 ? "\\x%02x" : "%c", (unsigned char)*text);
}

/* In the form of the program's own start errors; the second and the fourth text may have any bytes. */
static void fail(const char *one, const char *two, const char *three, const char *four) {
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm *local = localtime(&now);
    if (local)
        strftime(stamp, sizeof stamp, "%Y/%m/%d %H:%M:%S ", local);
    fprintf(stderr, "%sFailed to start SMTP mock server: %s", stamp, one);
    print(two);
    fputs(three, stderr);
    print(four);
    fputs("\n", stderr);
    exit(1);
}

static void *allocated(void *memory) {
    if (!memory)
        fail("out of memory", "", "", "");
    return memory;
}

static char *join(const char *one, const char *other) {
    char *joined = allocated(malloc(strlen(one) + strlen(other) + 1));
    return strcat(strcpy(joined, one), other);
}

/* The folder that this program is in, without symbolic links. */
static char *own_folder(void) {
    static char path[PATH_MAX];
    const char *executed = (const char *)getauxval(AT_EXECFN);
    /* The path that was executed, for want of /proc; argv[0] may be anything. */
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0 && !(executed && realpath(executed, path)))
        fail("cannot find the folder of this program: ", strerror(errno), "", "");
    *strrchr(path, '/') = 0;
    return path;
}

/* The first of the two places that exists, without symbolic links, as the bootloader will call it. */
static char *find_files(const char *folder) {
    static char path[PATH_MAX];
    char *beside = join(folder, "/" FILES), *in_lib = join(folder, "/../lib/" FILES);
    if (realpath(beside, path))
        return path;
    if (errno != ENOENT)
        fail("cannot use ", beside, ": ", strerror(errno));
    if (!realpath(in_lib, path))
        fail("the folder " FILES " is missing: it is neither ", beside, " nor ", in_lib);
    return path;
}

static void adjust_environment(const char *program) {
    char name[17] = "smtpmock", **kept = environ;
    for (char **each = environ; *each; each++)
        if (strncmp(*each, "LD_", 3))
            *kept++ = *each;
    *kept = NULL;
    prctl(PR_GET_NAME, name); /* what ps and pkill know this process by; the loader has another name */
    if (setenv("LC_ALL", "C", 1) || setenv("_PYI_ARCHIVE_FILE", program, 1) ||
        setenv("_PYI_PARENT_PROCESS_LEVEL", "0", 1) || setenv("_PYI_LINUX_PROCESS_NAME", name, 1))
        allocated(NULL);
}

/* Leaves the loader what `setcap cap_net_bind_service=ep smtpmock` gave this file: ports below 1024, as SMTP's 25. */
static void pass_on_capability(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (!getauxval(AT_SECURE) || syscall(SYS_capget, &header, data))
        return;
    data[0].inheritable |= data[0].permitted & 1u << CAP_NET_BIND_SERVICE;
    if (!syscall(SYS_capset, &header, data))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

int main(int argc, char **argv) {
    char *files = find_files(own_folder());
    char *loader = join(files, "/" LOADER), *program = join(files, "/smtpmock");
    char **words = allocated(calloc(argc + 5, sizeof *words));
    words[0] = argc ? argv[0] : "smtpmock";
    words[1] = "--library-path";
    words[2] = "$ORIGIN";
    words[3] = program;
    for (int i = 1; i < argc; i++)
        words[i + 3] = argv[i];
    adjust_environment(program);
    pass_on_capability();
    if (access(program, R_OK))
        fail("cannot use ", program, ": ", strerror(errno));
    execv(loader, words);
    fail("cannot run ", loader, ": ", strerror(errno));
}
