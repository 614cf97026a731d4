/* Preloaded into a process under test: its log files meet a full or a failing disk while a control file
   says so. The file's first byte: F = writes find no room, S = syncs fail, O = one sync fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char told(void)
{
    const char *path = getenv("SPANWISE_TEST_DISK");
    char what = 0;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, &what, 1) != 1)
            what = 0;
        close(fd);
    }
    return what;
}

static int is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return strstr(path, "/data/spans/") != NULL || strstr(path, "/data/kept/") != NULL;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    if (told() == 'F' && is_log(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, bytes, n);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "fdatasync");
    char what = told();
    if ((what == 'S' || what == 'O') && is_log(fd)) {
        if (what == 'O')
            unlink(getenv("SPANWISE_TEST_DISK"));
        errno = EIO;
        return -1;
    }
    return real(fd);
}
