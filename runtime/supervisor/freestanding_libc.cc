// The part of libc that the supervisor uses, and its start, so that it links without libc.
//
// glibc's static start-up asks the processor about itself (cpuid) several hundred times. In a
// virtual machine each of these leaves the guest: seen on a KVM guest, a static program that does
// nothing takes 680 us from spawn to exit with glibc and 61 us without. On top of that come 650 KiB
// of code that a lone supervisor would have mapped. What remains is what the supervisor calls: thin
// system calls with errno, a few functions of memory, and a heap of whole mappings.
//
// The declarations are the C library's headers', as everywhere; this file repeats them by their
// binary form (types that are only passed on are void), because it must not include them. A
// function that is missing here fails to link. Not used with sanitizers, which bring their own
// libc.
//
// One thread. There is no thread-local storage: code that needs it (stack protector, glibc's errno)
// must not be linked in.
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/raw_syscall.h"

namespace {

constexpr int kErrnoNoMemory = 12;
constexpr long kAtFdCwd = -100;
constexpr size_t kKernelSignalSet = 8;  // bytes; the first of a sigset_t's
constexpr size_t kUserSignalSet = 128;
constexpr long kSignalChild = 17;
constexpr long kProtectionReadWrite = 3;
constexpr long kMapPrivateAnonymous = 0x22;
constexpr size_t kPage = 4096;

int g_errno;

long Result(long result) {
  if (result >= 0 || result < -4095) return result;
  g_errno = static_cast<int>(-result);
  return -1;
}

template <typename... Args>
int Int(long number, Args... args) {
  return static_cast<int>(Result(ocid::raw::Call(number, args...)));
}

// In front of each allocation.
struct alignas(16) Block {
  size_t mapped;
};

}  // namespace

// The kernel enters with the stack aligned to 16 and nothing pushed for a return.
#if defined(__x86_64__)
asm(".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  and $-16, %rsp\n"
    "  call main\n"
    "  mov %eax, %edi\n"
    "  call _exit\n");
#elif defined(__aarch64__)
asm(".globl _start\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  bl main\n"
    "  bl _exit\n");
#endif

extern "C" {

int* __errno_location() { return &g_errno; }

// ---- Memory and strings (the compiler calls the first four by itself)

void* memcpy(void* to, const void* from, size_t size) {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const unsigned char*>(from);
#if defined(__x86_64__)
  // As fast as any on processors with "enhanced rep movsb", which is all since 2013.
  asm volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(size) : : "memory");
#else
  while (size-- > 0) *out++ = *in++;
#endif
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const unsigned char*>(from);
  if (out <= in || out >= in + size) return memcpy(to, from, size);
  while (size-- > 0) out[size] = in[size];
  return to;
}

void* memset(void* to, int byte, size_t size) {
  auto* out = static_cast<unsigned char*>(to);
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(out), "+c"(size) : "a"(byte) : "memory");
#else
  while (size-- > 0) *out++ = static_cast<unsigned char>(byte);
#endif
  return to;
}

int memcmp(const void* a, const void* b, size_t size) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) return left[i] - right[i];
  }
  return 0;
}

void* memchr(const void* bytes, int byte, size_t size) {
  const auto* in = static_cast<const unsigned char*>(bytes);
  for (size_t i = 0; i < size; ++i) {
    if (in[i] == static_cast<unsigned char>(byte)) return const_cast<unsigned char*>(in + i);
  }
  return nullptr;
}

void* memrchr(const void* bytes, int byte, size_t size) {
  const auto* in = static_cast<const unsigned char*>(bytes);
  while (size-- > 0) {
    if (in[size] == static_cast<unsigned char>(byte)) return const_cast<unsigned char*>(in + size);
  }
  return nullptr;
}

size_t strlen(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') ++size;
  return size;
}

size_t strnlen(const char* text, size_t limit) {
  size_t size = 0;
  while (size < limit && text[size] != '\0') ++size;
  return size;
}

int strcmp(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

int strncmp(const char* a, const char* b, size_t limit) {
  for (size_t i = 0; i < limit; ++i) {
    if (a[i] != b[i] || a[i] == '\0') {
      return static_cast<unsigned char>(a[i]) - static_cast<unsigned char>(b[i]);
    }
  }
  return 0;
}

char* strchr(const char* text, int byte) {
  for (;; ++text) {
    if (*text == static_cast<char>(byte)) return const_cast<char*>(text);
    if (*text == '\0') return nullptr;
  }
}

char* strncpy(char* to, const char* from, size_t size) {
  size_t at = 0;
  for (; at < size && from[at] != '\0'; ++at) to[at] = from[at];
  for (; at < size; ++at) to[at] = '\0';
  return to;
}

// ---- Heap: each allocation is a mapping of its own, so that what is freed is gone. There are few:
// one for each exec, and what a slow daemon or a slow process has not taken yet.

void* mmap(void* address, size_t size, int protection, int flags, int fd, int64_t offset) {
  return reinterpret_cast<void*>(
      Result(ocid::raw::Call(SYS_mmap, address, size, protection, flags, fd, offset)));
}

int munmap(void* address, size_t size) { return Int(SYS_munmap, address, size); }

void* malloc(size_t size) {
  const size_t mapped = (size + sizeof(Block) + kPage - 1) & ~(kPage - 1);
  const long address = size < mapped
                           ? ocid::raw::Call(SYS_mmap, nullptr, mapped, kProtectionReadWrite,
                                             kMapPrivateAnonymous, -1, 0)
                           : -kErrnoNoMemory;
  if (address < 0 && address >= -4095) {
    g_errno = kErrnoNoMemory;
    return nullptr;
  }
  auto* block = reinterpret_cast<Block*>(address);
  block->mapped = mapped;
  return block + 1;
}

void free(void* allocation) {
  if (allocation == nullptr) return;
  Block* block = static_cast<Block*>(allocation) - 1;
  ocid::raw::Call(SYS_munmap, block, block->mapped);
}

// ---- Files

int open(const char* path, int flags, unsigned mode) {
  return Int(SYS_openat, kAtFdCwd, path, flags, mode);
}
int openat(int dir, const char* path, int flags, unsigned mode) {
  return Int(SYS_openat, dir, path, flags, mode);
}
int close(int fd) { return Int(SYS_close, fd); }
int close_range(unsigned first, unsigned last, int flags) {
  return Int(SYS_close_range, first, last, flags);
}
long read(int fd, void* bytes, size_t size) {
  return Result(ocid::raw::Call(SYS_read, fd, bytes, size));
}
long write(int fd, const void* bytes, size_t size) {
  return Result(ocid::raw::Call(SYS_write, fd, bytes, size));
}
long pread(int fd, void* bytes, size_t size, int64_t offset) {
  return Result(ocid::raw::Call(SYS_pread64, fd, bytes, size, offset));
}
long pwrite(int fd, const void* bytes, size_t size, int64_t offset) {
  return Result(ocid::raw::Call(SYS_pwrite64, fd, bytes, size, offset));
}
int fstat(int fd, void* status) { return Int(SYS_fstat, fd, status); }
int ftruncate(int fd, int64_t size) { return Int(SYS_ftruncate, fd, size); }
int renameat(int from_dir, const char* from, int to_dir, const char* to) {
  return Int(SYS_renameat2, from_dir, from, to_dir, to, 0);
}
int unlinkat(int dir, const char* path, int flags) { return Int(SYS_unlinkat, dir, path, flags); }
int fcntl(int fd, int command, long argument) { return Int(SYS_fcntl, fd, command, argument); }
int ioctl(int fd, unsigned long request, long argument) {
  return Int(SYS_ioctl, fd, request, argument);
}
int pipe2(int* ends, int flags) { return Int(SYS_pipe2, ends, flags); }

// makedev(3): a macro, but a call of this at -O0.
uint64_t gnu_dev_makedev(unsigned major, unsigned minor) {
  const uint64_t high = major, low = minor;
  return (high & 0xfffff000) << 32 | (high & 0xfff) << 8 | (low & 0xffffff00) << 12 | (low & 0xff);
}

// ---- Sockets and events

int socketpair(int domain, int type, int protocol, int* ends) {
  return Int(SYS_socketpair, domain, type, protocol, ends);
}
int accept4(int fd, void* address, void* size, int flags) {
  return Int(SYS_accept4, fd, address, size, flags);
}
int getsockopt(int fd, int level, int name, void* value, void* size) {
  return Int(SYS_getsockopt, fd, level, name, value, size);
}
int setsockopt(int fd, int level, int name, const void* value, unsigned size) {
  return Int(SYS_setsockopt, fd, level, name, value, size);
}
long sendmsg(int fd, const void* message, int flags) {
  return Result(ocid::raw::Call(SYS_sendmsg, fd, message, flags));
}
long recvmsg(int fd, void* message, int flags) {
  return Result(ocid::raw::Call(SYS_recvmsg, fd, message, flags));
}
long recv(int fd, void* bytes, size_t size, int flags) {
  return Result(ocid::raw::Call(SYS_recvfrom, fd, bytes, size, flags, nullptr, nullptr));
}
int epoll_create1(int flags) { return Int(SYS_epoll_create1, flags); }
int epoll_ctl(int epoll, int operation, int fd, void* event) {
  return Int(SYS_epoll_ctl, epoll, operation, fd, event);
}
int epoll_wait(int epoll, void* events, int count, int timeout) {
  return Int(SYS_epoll_pwait, epoll, events, count, timeout, nullptr, kKernelSignalSet);
}

// cmsg(3): the header after `current`, or null. A call at -O0 only.
struct ControlHeader {
  size_t size;
  int level;
  int type;
};
struct MessageControl {
  void* name;
  unsigned name_size;
  void* parts;
  size_t part_count;
  char* control;
  size_t control_size;
};
ControlHeader* __cmsg_nxthdr(MessageControl* message, ControlHeader* current) {
  const size_t step = (current->size + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1);
  char* const next = reinterpret_cast<char*>(current) + step;
  char* const end = message->control + message->control_size;
  if (current->size < sizeof(ControlHeader) || next + sizeof(ControlHeader) > end) return nullptr;
  return reinterpret_cast<ControlHeader*>(next);
}

// ---- Signals and processes

int sigemptyset(void* set) {
  memset(set, 0, kUserSignalSet);
  return 0;
}
int sigfillset(void* set) {
  memset(set, 0xff, kUserSignalSet);
  return 0;
}
int sigaddset(void* set, int signal) {
  static_cast<unsigned char*>(set)[(signal - 1) / 8] |=
      static_cast<unsigned char>(1u << ((signal - 1) % 8));
  return 0;
}
int sigprocmask(int how, const void* set, void* old) {
  return Int(SYS_rt_sigprocmask, how, set, old, kKernelSignalSet);
}
int signalfd(int fd, const void* set, int flags) {
  return Int(SYS_signalfd4, fd, set, kKernelSignalSet, flags);
}
int waitid(int type, unsigned id, void* info, int options) {
  return Int(SYS_waitid, type, id, info, options, nullptr);
}
int fork() { return Int(SYS_clone, kSignalChild, 0, 0, 0, 0); }
int getpid() { return Int(SYS_getpid); }
unsigned geteuid() { return static_cast<unsigned>(ocid::raw::Call(SYS_geteuid)); }
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
  return Int(SYS_prctl, option, a, b, c, d);
}
int clock_gettime(int clock, void* time) { return Int(SYS_clock_gettime, clock, time); }

// Variadic for its callers, who pass words and pointers: the registers are the same.
long syscall(long number, long a, long b, long c, long d, long e, long f) {
  return Result(ocid::raw::Invoke(number, a, b, c, d, e, f));
}

[[noreturn]] void _exit(int code) {
  for (;;) ocid::raw::Call(SYS_exit_group, code);
}

}  // extern "C"
