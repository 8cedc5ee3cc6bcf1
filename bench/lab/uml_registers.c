/* Lets user-mode Linux run on processors with more registers than its kernel knows.
 *
 * It saves and restores the registers of its guests' processes with ptrace(2), in a buffer that is
 * large enough for AVX-512 (Linux 6.1: 2.7 KB). A host whose processor has AMX counts 11 KB of them
 * and takes all or nothing (PTRACE_SETREGSET, else EFAULT). Loaded before the C library (LD_PRELOAD),
 * this hands the guest's kernel the part that it has room for, and the host the rest as zeros: AMX
 * tiles that nobody uses.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long function(enum __ptrace_request, ...);

long ptrace(enum __ptrace_request request, ...)
{
    static function *real;
    static char all[1 << 16];
    static size_t all_bytes; /* what the host has; 0: not asked yet */
    va_list words;

    va_start(words, request);
    pid_t pid = va_arg(words, pid_t);
    void *address = va_arg(words, void *);
    void *data = va_arg(words, void *);
    va_end(words);

    if (!real)
        real = (function *)dlsym(RTLD_NEXT, "ptrace");
    int gets = request == PTRACE_GETREGSET, sets = request == PTRACE_SETREGSET;
    if ((!gets && !sets) || (unsigned long)address != NT_X86_XSTATE)
        return real(request, pid, address, data);

    struct iovec *some = data, whole = {all, sizeof all};
    if (sets && some->iov_len < all_bytes) {
        memcpy(all, some->iov_base, some->iov_len);
        memset(all + some->iov_len, 0, all_bytes - some->iov_len);
        whole.iov_len = all_bytes;
        return real(request, pid, address, &whole);
    }
    if (sets)
        return real(request, pid, address, data);
    long failed = real(request, pid, address, &whole);
    if (!failed) {
        all_bytes = whole.iov_len;
        if (some->iov_len > all_bytes)
            some->iov_len = all_bytes;
        memcpy(some->iov_base, all, some->iov_len);
    }
    return failed;
}
