/*
 * A disk that fails, is slow, or tells what was done to it: a library to preload into the real station.
 *
 * It stands before libc's functions on files and looks only at paths below STATION_SHIM_DIR, which must be absolute and
 * canonical. Everything else passes. The test compiles it; runtime/testkit/src/disk.rs says what the settings mean:
 *
 *   STATION_SHIM_DIR            the folder, required
 *   STATION_SHIM_FAIL_AT        the number of the operation to harm, from 1
 *   STATION_SHIM_FAIL_HOW       eio | enospc | short (half of a write, else EIO) | kill (SIGKILL before the operation)
 *   STATION_SHIM_FAIL_ON        set: harm every later operation, too
 *   STATION_SHIM_FAIL_ONLY      write | sync | truncate | unlink | rename | mkdir | open: count only these
 *   STATION_SHIM_TRACE          a file for events, a line each; the bytes of writes and answers go to FILE.data
 *   STATION_SHIM_SYNC_DELAY_US  added to each fsync and fdatasync
 *   STATION_SHIM_SYNC_GATE      a file: each fsync and fdatasync waits as long as it is there
 *   STATION_SHIM_SYNC_NOT       set: syncs are counted, harmed and told of, and do not reach the machine's disk
 *
 * A line is `number TAB event TAB data position TAB data length TAB numbers and paths`, and lines are in the order of
 * their numbers. To be sure of an order, what must come first is noted when it has ended (writes, the end of a sync) and
 * what must come later is noted before it begins (the beginning of a sync, an answer on a socket).
 *
 * What goes past libc is not seen: mapped memory (SQLite's -shm, which a start makes anew), and system calls made
 * without it, as rustix makes them. So sync files of the station with std, or the tests will say that there was no sync.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate64)(int, off64_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_openat64)(int, const char *, int, ...);

enum how { EIO_ERROR, ENOSPC_ERROR, SHORT_WRITE, KILLED };
enum verdict { PASSES, FAILS, IS_CUT };

static char folder[PATH_MAX];
static size_t folder_length;
static long fail_at;
static enum how fail_how;
static int fail_on;
static const char *fail_only;
static long sync_delay_us;
static const char *sync_gate;
static int sync_not;
static int trace_fd = -1;
static int data_fd = -1;
static atomic_long operations;

static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
/* Both under the lock. */
static long events;
static long long data_end;

static long number_of(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int append_to(const char *path) {
    return real_openat64(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static enum how how_named(const char *name) {
    return !strcmp(name, "enospc") ? ENOSPC_ERROR
         : !strcmp(name, "short")  ? SHORT_WRITE
         : !strcmp(name, "kill")   ? KILLED
                                   : EIO_ERROR;
}

static void read_settings(void) {
    const char *dir = getenv("STATION_SHIM_DIR"), *how = getenv("STATION_SHIM_FAIL_HOW");
    const char *trace = getenv("STATION_SHIM_TRACE");
    if (!dir || strlen(dir) >= sizeof folder)
        return;
    fail_at = number_of("STATION_SHIM_FAIL_AT");
    fail_on = getenv("STATION_SHIM_FAIL_ON") != NULL;
    fail_only = getenv("STATION_SHIM_FAIL_ONLY");
    sync_delay_us = number_of("STATION_SHIM_SYNC_DELAY_US");
    sync_gate = getenv("STATION_SHIM_SYNC_GATE");
    sync_not = getenv("STATION_SHIM_SYNC_NOT") != NULL;
    if (how)
        fail_how = how_named(how);
    if (trace) {
        char data[PATH_MAX];
        snprintf(data, sizeof data, "%s.data", trace);
        trace_fd = append_to(trace);
        data_fd = append_to(data);
        if (trace_fd < 0 || data_fd < 0)
            abort();
    }
    strcpy(folder, dir);
    folder_length = strlen(folder);
}

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_send = dlsym(RTLD_NEXT, "send");
    real_sendto = dlsym(RTLD_NEXT, "sendto");
    real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate64 = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_openat64 = dlsym(RTLD_NEXT, "openat64");
    read_settings();
}

/* Which files */

/* What comes after the folder in a path, "." for the folder itself, NULL for a path that is not ours. */
static const char *below(const char *path) {
    if (!folder_length || strncmp(path, folder, folder_length))
        return NULL;
    path += folder_length;
    return *path == '/' ? path + 1 : *path ? NULL : ".";
}

/* The same for an open file. Asking the system each time costs some microseconds and is never wrong; sockets and the
   descriptors by which threads wake each other, of which a station has many, are known by what they are. */
static const char *below_fd(int fd, char path[PATH_MAX]) {
    char link[32];
    struct stat about;
    ssize_t length;
    int kept = errno;
    if (!folder_length)
        return NULL;
    if (fstat(fd, &about) || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) {
        errno = kept;
        return NULL;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    errno = kept;
    if (length < 0)
        return NULL;
    path[length] = 0;
    return below(path);
}

static int is_socket(int fd) {
    struct stat about;
    int kept = errno, found = fstat(fd, &about);
    errno = kept;
    return !found && S_ISSOCK(about.st_mode);
}

/* Events */

static void append_all(int fd, const char *from, size_t length) {
    while (length > 0) {
        ssize_t done = real_write(fd, from, length);
        if (done <= 0)
            abort();
        from += done;
        length -= (size_t)done;
    }
}

/* Writes one line, and the bytes that go with it; answers its number. */
static long note(const char *event, const struct iovec *data, int count, const char *format, ...) {
    char line[2 * PATH_MAX + 128], rest[2 * PATH_MAX + 64];
    size_t length = 0;
    va_list values;
    long number;
    int kept = errno;
    if (trace_fd < 0)
        return 0;
    va_start(values, format);
    vsnprintf(rest, sizeof rest, format, values);
    va_end(values);
    pthread_mutex_lock(&trace_lock);
    for (int at = 0; at < count; at++) {
        append_all(data_fd, data[at].iov_base, data[at].iov_len);
        length += data[at].iov_len;
    }
    number = ++events;
    snprintf(line, sizeof line, "%ld\t%s\t%lld\t%zu\t%s\n", number, event, data_end, length, rest);
    data_end += (long long)length;
    append_all(trace_fd, line, strlen(line));
    pthread_mutex_unlock(&trace_lock);
    errno = kept;
    return number;
}

static void note_answer(const struct iovec *data, int count) { note("answer", data, count, ""); }

/* Counts one operation and says what becomes of it; `errno` is set when it fails. */
static enum verdict judge(const char *operation, const char *path) {
    long number;
    if (fail_only && strcmp(fail_only, operation))
        return PASSES;
    number = atomic_fetch_add(&operations, 1) + 1;
    if (!fail_at || number < fail_at || (number > fail_at && !fail_on))
        return PASSES;
    note("harmed", NULL, 0, "%s\t%s", operation, path);
    if (fail_how == KILLED)
        kill(getpid(), SIGKILL);
    errno = fail_how == ENOSPC_ERROR ? ENOSPC : EIO;
    return fail_how == SHORT_WRITE && !strcmp(operation, "write") ? IS_CUT : FAILS;
}

/* Writes */

/* `at` is -1 for a write where the file stands. */
static ssize_t write_file(int fd, const char *path, const void *from, size_t length, off64_t at) {
    enum verdict verdict = judge("write", path);
    struct iovec data = {.iov_base = (void *)from};
    ssize_t done;
    if (verdict == FAILS || (verdict == IS_CUT && length < 2))
        return -1;
    if (verdict == IS_CUT)
        length /= 2;
    done = at < 0 ? real_write(fd, from, length) : real_pwrite64(fd, from, length, at);
    if (done > 0 && trace_fd >= 0) {
        data.iov_len = (size_t)done;
        note("write", &data, 1, "%lld\t%s", (long long)(at < 0 ? lseek64(fd, 0, SEEK_CUR) - done : at), path);
    }
    return done;
}

ssize_t write(int fd, const void *from, size_t length) {
    char path[PATH_MAX];
    const char *ours = below_fd(fd, path);
    if (ours)
        return write_file(fd, ours, from, length, -1);
    if (trace_fd >= 0 && is_socket(fd))
        note_answer(&(struct iovec){(void *)from, length}, 1);
    return real_write(fd, from, length);
}

ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    char path[PATH_MAX];
    const char *ours = below_fd(fd, path);
    return ours ? write_file(fd, ours, from, length, at) : real_pwrite64(fd, from, length, at);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at) { return pwrite64(fd, from, length, at); }

/* To a file only the first part is written: a short write is always allowed. */
ssize_t writev(int fd, const struct iovec *data, int count) {
    char path[PATH_MAX];
    const char *ours = below_fd(fd, path);
    for (; ours && count > 0; data++, count--)
        if (data->iov_len)
            return write_file(fd, ours, data->iov_base, data->iov_len, -1);
    if (trace_fd >= 0 && is_socket(fd))
        note_answer(data, count);
    return real_writev(fd, data, count);
}

/* Answers */

ssize_t send(int fd, const void *from, size_t length, int flags) {
    note_answer(&(struct iovec){(void *)from, length}, 1);
    return real_send(fd, from, length, flags);
}

ssize_t sendto(int fd, const void *from, size_t length, int flags, const struct sockaddr *to, socklen_t to_length) {
    note_answer(&(struct iovec){(void *)from, length}, 1);
    return real_sendto(fd, from, length, flags, to, to_length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    note_answer(message->msg_iov, (int)message->msg_iovlen);
    return real_sendmsg(fd, message, flags);
}

/* Syncs */

static void wait_for_the_disk(void) {
    struct timespec left = {sync_delay_us / 1000000, sync_delay_us % 1000000 * 1000};
    int kept = errno;
    while (sync_delay_us && nanosleep(&left, &left) && errno == EINTR)
        ;
    while (sync_gate && !access(sync_gate, F_OK))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    errno = kept;
}

static int sync_file(int fd, int (*really)(int)) {
    char path[PATH_MAX];
    const char *ours = below_fd(fd, path);
    long begun;
    int failed;
    if (!ours)
        return really(fd);
    if (judge("sync", ours) != PASSES)
        return -1;
    begun = note("sync", NULL, 0, "%s", ours);
    wait_for_the_disk();
    failed = sync_not ? 0 : really(fd);
    if (!failed)
        note("synced", NULL, 0, "%ld\t%s", begun, ours);
    return failed;
}

int fsync(int fd) { return sync_file(fd, real_fsync); }

int fdatasync(int fd) { return sync_file(fd, real_fdatasync); }

/* Names and lengths */

int ftruncate64(int fd, off64_t length) {
    char path[PATH_MAX];
    const char *ours = below_fd(fd, path);
    int failed;
    if (ours && judge("truncate", ours) != PASSES)
        return -1;
    failed = real_ftruncate64(fd, length);
    if (ours && !failed)
        note("truncate", NULL, 0, "%lld\t%s", (long long)length, ours);
    return failed;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
    const char *ours = below(path);
    int failed;
    if (ours && judge("unlink", ours) != PASSES)
        return -1;
    failed = real_unlink(path);
    if (ours && !failed)
        note("unlink", NULL, 0, "%s", ours);
    return failed;
}

int rename(const char *from, const char *to) {
    const char *old = below(from), *new = below(to);
    int failed;
    if (old && new && judge("rename", new) != PASSES)
        return -1;
    failed = real_rename(from, to);
    if (old && new && !failed)
        note("rename", NULL, 0, "%s\t%s", old, new);
    return failed;
}

int mkdir(const char *path, mode_t mode) {
    const char *ours = below(path);
    int failed;
    if (ours && judge("mkdir", ours) != PASSES)
        return -1;
    failed = real_mkdir(path, mode);
    if (ours && !failed)
        note("mkdir", NULL, 0, "%s", ours);
    return failed;
}

/* Opening for reading changes nothing and is not counted. */
static int open_file(int dir, const char *path, int flags, mode_t mode) {
    const char *ours = (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) ? below(path) : NULL;
    int fd, kept = errno, is_new;
    if (!ours)
        return real_openat64(dir, path, flags, mode);
    is_new = (flags & O_CREAT) && access(path, F_OK);
    errno = kept;
    if (judge("open", ours) != PASSES)
        return -1;
    fd = real_openat64(dir, path, flags, mode);
    if (fd >= 0 && is_new)
        note("create", NULL, 0, "%s", ours);
    else if (fd >= 0 && (flags & O_TRUNC))
        note("truncate", NULL, 0, "%d\t%s", 0, ours);
    return fd;
}

#define OPENED(dir)                                                                                                    \
    va_list values;                                                                                                    \
    mode_t mode;                                                                                                       \
    va_start(values, flags);                                                                                           \
    mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(values, mode_t) : 0;                                               \
    va_end(values);                                                                                                    \
    return open_file(dir, path, flags, mode)

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD); }

int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD); }

int openat(int dir, const char *path, int flags, ...) { OPENED(dir); }

int openat64(int dir, const char *path, int flags, ...) { OPENED(dir); }
