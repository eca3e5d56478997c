/*
 * Records the changes of a process to the files below one folder, in order, for tests/it/power, which
 * computes the possible contents of the files after a power cut.
 *
 * Preloaded into the real binary. HEARDBACK_RECORD_BELOW is the folder (absolute, without links),
 * HEARDBACK_RECORD_LOG the log; both must exist. Each record is one append to the log, so the order of
 * records is the order of appends, over all threads. A write, a truncation and a sync have two records:
 * one before the call and one after its return. A write may be on the disk from its first record on. It
 * is durable only if its second record comes before the first record of a sync, and the second record of
 * that sync reports success. A change of names has one record, after its return.
 *
 * A call that cannot be recorded faithfully ends the process: a shared mapping, a hard link, O_APPEND.
 * Copies inside the kernel are refused, so that callers fall back to read and write. sync_file_range is
 * recorded and makes nothing durable: it syncs no metadata and no disk cache.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined(__linux__) || __SIZEOF_POINTER__ != 8
#error "only 64-bit Linux, where off_t and off64_t are the same"
#endif

enum { LONGEST = 4096, MAGIC = 0x48425031 };

/* The header of a record. The path follows, then a second path or the written bytes. */
struct head {
    uint32_t magic, kind;
    uint64_t id;
    int64_t value;
    uint32_t path, more;
};

static char below[LONGEST];
static size_t below_length;
static int journal = -1;
static atomic_uint_fast64_t ids = 1;

static void give_up(const char *why)
{
    dprintf(2, "record.c: %s\n", why);
    abort();
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("HEARDBACK_RECORD_BELOW"), *log = getenv("HEARDBACK_RECORD_LOG");
    if (!folder || !log || strlen(folder) >= sizeof below)
        give_up("HEARDBACK_RECORD_BELOW and HEARDBACK_RECORD_LOG are needed");
    strcpy(below, folder);
    below_length = strlen(below);
    journal = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (journal < 0)
        give_up("cannot open the log");
}

static void note(char kind, uint64_t id, int64_t value, const char *path, const void *more, size_t length)
{
    int kept = errno;
    struct head head = {MAGIC, (uint32_t)kind, id, value, (uint32_t)strlen(path), (uint32_t)length};
    struct iovec parts[3] = {
        {&head, sizeof head}, {(void *)path, head.path}, {(void *)more, length}};
    long whole = (long)(sizeof head + head.path + length);
    if (syscall(SYS_writev, journal, parts, 3) != whole)
        give_up("cannot write the log");
    errno = kept;
}

static uint64_t next(void) { return ((uint64_t)getpid() << 40) | ids++; }

/* The path below `below/`; NULL for a path outside it, "" for the folder itself. */
static const char *inside(const char *path)
{
    if (journal < 0 || strncmp(path, below, below_length) != 0)
        return NULL;
    path += below_length;
    return *path == '/' ? path + 1 : *path == 0 ? path : NULL;
}

static const char *of_fd(int fd, char *room)
{
    char link[64];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, room, LONGEST - 1);
    errno = kept;
    if (length < 0)
        return NULL;
    room[length] = 0;
    /* A file without a name leaves no content. */
    static const char deleted[] = " (deleted)";
    if (length > 10 && strcmp(room + length - 10, deleted) == 0)
        return NULL;
    return inside(room);
}

static const char *of_name(int folder, const char *name, char *room)
{
    if (*name == '/')
        return inside(name);
    char here[LONGEST];
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, here, sizeof here) < 0 || !inside(here))
            return NULL;
    } else if (!of_fd(folder, here)) {
        return NULL;
    }
    if (snprintf(room, LONGEST, "%s/%s", here, name) >= LONGEST)
        give_up("a path is too long");
    return inside(room);
}

static int opened(int folder, const char *name, int flags, mode_t mode)
{
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    char room[LONGEST];
    const char *path = fd < 0 || !(flags & (O_CREAT | O_TRUNC | O_APPEND)) ? NULL : of_fd(fd, room);
    if (path && (flags & O_APPEND))
        give_up("O_APPEND: it is not known where that writes");
    if (path)
        note('c', 0, (flags & O_TRUNC) != 0, path, "", 0);
    return fd;
}

#define MODE(flags, last)                                                                              \
    mode_t mode = 0;                                                                                   \
    if ((flags) & O_CREAT) {                                                                           \
        va_list rest;                                                                                  \
        va_start(rest, last);                                                                          \
        mode = va_arg(rest, mode_t);                                                                   \
        va_end(rest);                                                                                  \
    }

int open(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags, flags) return opened(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags, flags) return opened(folder, name, flags, mode); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

static ssize_t written(int fd, const void *bytes, size_t count, off_t at, int here)
{
    char room[LONGEST];
    const char *path = of_fd(fd, room);
    uint64_t id = path ? next() : 0;
    if (path)
        note('w', id, here ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : at, path, bytes, count);
    ssize_t done = here ? syscall(SYS_write, fd, bytes, count) : syscall(SYS_pwrite64, fd, bytes, count, at);
    if (path)
        note('e', id, done, "", "", 0);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t count) { return written(fd, bytes, count, 0, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return written(fd, bytes, count, at, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return written(fd, bytes, count, at, 0); }

/* For a recorded file only the first part is written, which POSIX permits: a write may be short. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    char room[LONGEST];
    if (!of_fd(fd, room))
        return syscall(SYS_writev, fd, parts, count);
    return count > 0 ? written(fd, parts->iov_base, parts->iov_len, 0, 1) : 0;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return count > 0 ? written(fd, parts->iov_base, parts->iov_len, at, 0) : 0;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return pwritev(fd, parts, count, at); }

int ftruncate(int fd, off_t length)
{
    char room[LONGEST];
    const char *path = of_fd(fd, room);
    uint64_t id = path ? next() : 0;
    if (path)
        note('t', id, length, path, "", 0);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (path)
        note('e', id, done, "", "", 0);
    return done;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

static int synced(int fd, char kind, long call)
{
    char room[LONGEST];
    const char *path = of_fd(fd, room);
    uint64_t id = path ? next() : 0;
    if (path)
        note(kind, id, 0, path, "", 0);
    int done = (int)syscall(call, fd);
    if (path)
        note('e', id, done, "", "", 0);
    return done;
}

int fsync(int fd) { return synced(fd, 's', SYS_fsync); }
int fdatasync(int fd) { return synced(fd, 'd', SYS_fdatasync); }

int sync_file_range(int fd, off_t at, off_t count, unsigned flags)
{
    char room[LONGEST];
    const char *path = of_fd(fd, room);
    if (path)
        note('r', 0, at, path, "", 0);
    return (int)syscall(SYS_sync_file_range, fd, at, count, flags);
}

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    char from_room[LONGEST], to_room[LONGEST];
    const char *old = of_name(from_folder, from, from_room), *new = of_name(to_folder, to, to_room);
    if (!old != !new || (old && flags))
        give_up("a rename that is not a plain one below the folder");
    int done = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (old && done == 0)
        note('m', 0, 0, old, new, strlen(new));
    return done;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

int unlinkat(int folder, const char *name, int flags)
{
    char room[LONGEST];
    const char *path = of_name(folder, name, room);
    int done = (int)syscall(SYS_unlinkat, folder, name, flags);
    if (path && done == 0)
        note('u', 0, 0, path, "", 0);
    return done;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode)
{
    char room[LONGEST];
    const char *path = of_name(folder, name, room);
    int done = (int)syscall(SYS_mkdirat, folder, name, mode);
    if (path && done == 0)
        note('k', 0, 0, path, "", 0);
    return done;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* The caller falls back to read and write. */
static ssize_t refused(int fd, long call, int as, int other, off_t *a, off_t *b, size_t count, unsigned flags)
{
    char room[LONGEST];
    if (of_fd(fd, room)) {
        errno = as;
        return -1;
    }
    return call == SYS_sendfile ? syscall(call, fd, other, a, count) : syscall(call, other, a, fd, b, count, flags);
}

ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t count, unsigned flags)
{
    return refused(out, SYS_copy_file_range, ENOSYS, in, from, to, count, flags);
}

ssize_t sendfile(int out, int in, off_t *from, size_t count)
{
    return refused(out, SYS_sendfile, EINVAL, in, from, NULL, count, 0);
}

ssize_t sendfile64(int out, int in, off_t *from, size_t count) { return sendfile(out, in, from, count); }

static void never(int fd, const char *what)
{
    char room[LONGEST];
    if (fd >= 0 && of_fd(fd, room))
        give_up(what);
}

void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t at)
{
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE))
        never(fd, "a shared mapping: what is written through it is not seen");
    return (void *)syscall(SYS_mmap, where, length, protection, flags, fd, at);
}

void *mmap64(void *where, size_t length, int protection, int flags, int fd, off_t at)
{
    return mmap(where, length, protection, flags, fd, at);
}

int fallocate(int fd, int mode, off_t at, off_t length)
{
    never(fd, "fallocate");
    return (int)syscall(SYS_fallocate, fd, mode, at, length);
}

int posix_fallocate(int fd, off_t at, off_t length) { return fallocate(fd, 0, at, length) < 0 ? errno : 0; }

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    char room[LONGEST];
    if (of_name(b, to, room))
        give_up("a hard link");
    return (int)syscall(SYS_linkat, a, from, b, to, flags);
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int truncate(const char *name, off_t length)
{
    char room[LONGEST];
    if (of_name(AT_FDCWD, name, room))
        give_up("truncate by name");
    return (int)syscall(SYS_truncate, name, length);
}
