/* Faults on demand: counts the calls of this process that change something below one folder, and spoils one of them.
 *
 * Loaded with LD_PRELOAD; does nothing until a process calls fault_arm (and only in that process, not in its children).
 * A step is an open for writing, write, ftruncate, fsync, rename, unlink, mkdir, rmdir or flock.
 *
 * Workers write nothing, they read: a program that begins with FAULT_READS="AT MODE ERROR FOLDER" in its environment
 * counts what it opens and reads below that folder, and spoils that. A worker that is stopped goes on by itself soon.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { COUNT, FAIL_ONCE, FULL, KILL, TEAR, STOP };
enum kind { OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LOCK, READ };

static struct {
    char folder[PATH_MAX];
    size_t length;
    int at, mode, error, seen, reads;
    pid_t process;
} plan;

void fault_arm(const char *folder, int at, int mode, int error) {
    snprintf(plan.folder, sizeof plan.folder, "%s/", folder);
    plan.length = strlen(plan.folder);
    plan.at = at; plan.mode = mode; plan.error = error; plan.seen = 0;
    plan.process = getpid();
}

int fault_steps(void) { return plan.seen; }

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("FAULT_READS");
    int at, mode, error, length = 0;
    if (!wanted || sscanf(wanted, "%d %d %d %n", &at, &mode, &error, &length) < 3 || !length) return;
    fault_arm(wanted + length, at, mode, error);
    plan.reads = 1;
}

static void stop(void) {
    if (plan.reads && !fork()) {
        usleep(200000);
        kill(getppid(), SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* What becomes of a step: 0 it is done, 1 it fails, 2 half of it is done and the process is killed. */
static int step(enum kind kind, const char *path) {
    if (plan.process != getpid() || plan.reads != (kind == READ)) return 0;
    char whole[2 * PATH_MAX];
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else {
        char here[PATH_MAX];
        snprintf(whole, sizeof whole, "%s/%s", getcwd(here, sizeof here) ? here : "", path);
    }
    if (strncmp(whole, plan.folder, plan.length)) return 0;
    int number = __sync_add_and_fetch(&plan.seen, 1);
    int grows = kind == OPEN || kind == WRITE || kind == TRUNCATE || kind == SYNC || kind == MKDIR || kind == READ;
    if (plan.mode == FULL && number >= plan.at && grows) { errno = plan.error; return 1; }
    if (number != plan.at) return 0;
    switch (plan.mode) {
    case FAIL_ONCE: errno = plan.error; return 1;
    case KILL: die();
    case TEAR: if (kind == WRITE || kind == READ) return 2; die();
    case STOP: stop();
    }
    return 0;
}

static int step_of(enum kind kind, int handle) {
    if (plan.process != getpid()) return 0;
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0 || path[0] != '/') return 0;  /* a pipe */
    path[size] = 0;
    return step(kind, path);
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPENS(name, declared, given)                                                                   \
    int name declared {                                                                                \
        NEXT(name);                                                                                    \
        mode_t mode = 0;                                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        if (step((flags & O_ACCMODE) != O_RDONLY ? OPEN : READ, path) == 1) return -1;                 \
        return next given;                                                                             \
    }
OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

#define WRITES(name, declared, whole, half)                                  \
    ssize_t name declared {                                                  \
        NEXT(name);                                                          \
        int fate = step_of(WRITE, handle);                                   \
        if (fate == 1) return -1;                                            \
        if (fate == 2) { if (next half < 0) errno = 0; die(); }              \
        return next whole;                                                   \
    }
WRITES(write, (int handle, const void *data, size_t size), (handle, data, size), (handle, data, size / 2))
WRITES(pwrite, (int handle, const void *data, size_t size, off_t at), (handle, data, size, at), (handle, data, size / 2, at))
WRITES(pwrite64, (int handle, const void *data, size_t size, off64_t at), (handle, data, size, at), (handle, data, size / 2, at))
WRITES(writev, (int handle, const struct iovec *parts, int count), (handle, parts, count), (handle, parts, count / 2))

#define READS(name, declared, whole, half)                                   \
    ssize_t name declared {                                                  \
        NEXT(name);                                                          \
        int fate = step_of(READ, handle);                                    \
        return fate == 1 ? -1 : fate == 2 ? next half : next whole;          \
    }
READS(read, (int handle, void *data, size_t size), (handle, data, size), (handle, data, size / 2))
READS(pread64, (int handle, void *data, size_t size, off64_t at), (handle, data, size, at), (handle, data, size / 2, at))

#define ON_HANDLE(name, kind, declared, given) \
    int name declared { NEXT(name); return step_of(kind, handle) ? -1 : next given; }
/* no test waits for the disk */
int fsync(int handle) { return step_of(SYNC, handle) ? -1 : 0; }
int fdatasync(int handle) { return step_of(SYNC, handle) ? -1 : 0; }
ON_HANDLE(ftruncate, TRUNCATE, (int handle, off_t size), (handle, size))
ON_HANDLE(ftruncate64, TRUNCATE, (int handle, off64_t size), (handle, size))
ON_HANDLE(flock, LOCK, (int handle, int how), (handle, how))

#define ON_PATH(name, kind, declared, given) \
    int name declared { NEXT(name); return step(kind, path) ? -1 : next given; }
ON_PATH(rename, RENAME, (const char *from, const char *path), (from, path))
ON_PATH(renameat, RENAME, (int at, const char *from, int to, const char *path), (at, from, to, path))
ON_PATH(unlink, UNLINK, (const char *path), (path))
ON_PATH(unlinkat, UNLINK, (int at, const char *path, int flags), (at, path, flags))
ON_PATH(mkdir, MKDIR, (const char *path, mode_t mode), (path, mode))
ON_PATH(rmdir, RMDIR, (const char *path), (path))
