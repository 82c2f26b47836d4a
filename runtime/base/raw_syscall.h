// System calls without libc: no errno, no cancellation points, no locks, nothing to be in a wrong
// state after a clone. Every function returns the kernel's result: negative is -errno.
//
// Thread-safe; whether a call blocks is the call's own affair.
//
// Sources: syscall(2) for the calling conventions; each call's own page of section 2.
#ifndef OCID_RUNTIME_BASE_RAW_SYSCALL_H_
#define OCID_RUNTIME_BASE_RAW_SYSCALL_H_

#include <sys/syscall.h>

#include <type_traits>

namespace ocid::raw {

template <typename T>
inline long ToWord(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(value);
  } else if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else {
    return static_cast<long>(value);
  }
}

#if defined(__x86_64__)
inline long Invoke(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long Invoke(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}
#else
#error "raw_syscall.h: no calling convention for this architecture"
#endif

#if defined(__x86_64__)
// clone(2) of a thread that runs `function(argument)` on the stack below `stack_top` and ends.
inline long InvokeThread(unsigned long flags, void* stack_top, void (*function)(void*),
                         void* argument) {
  void** stack = static_cast<void**>(stack_top);
  *--stack = argument;
  *--stack = reinterpret_cast<void*>(function);
  long result;
  register long r10 asm("r10") = 0;
  register long r8 asm("r8") = 0;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "pop %%rax\n\t"
      "pop %%rdi\n\t"
      "call *%%rax\n\t"
      "xor %%edi, %%edi\n\t"
      "mov %[exit], %%eax\n\t"
      "syscall\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(0), "r"(r10), "r"(r8), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long InvokeThread(unsigned long flags, void* stack_top, void (*function)(void*),
                         void* argument) {
  void** stack = static_cast<void**>(stack_top);
  *--stack = argument;
  *--stack = reinterpret_cast<void*>(function);
  register long x8 asm("x8") = SYS_clone;
  register long x0 asm("x0") = static_cast<long>(flags);
  register long x1 asm("x1") = reinterpret_cast<long>(stack);
  register long x2 asm("x2") = 0;
  register long x3 asm("x3") = 0;
  register long x4 asm("x4") = 0;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "ldp x9, x0, [sp], #16\n\t"
      "blr x9\n\t"
      "mov x0, #0\n\t"
      "mov x8, %[exit]\n\t"
      "svc #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(SYS_exit)
      : "x9", "x30", "memory");
  return x0;
}
#endif

// clone3(2) of a child that shares our memory (CLONE_VM): it runs `function(argument)` on the stack that
// `args`, a clone_args of `size` bytes, give it (16-byte aligned at its top). `function` must not return.
inline long InvokeClone(const void* args, unsigned long size, void (*function)(void*),
                        void* argument) {
#if defined(__x86_64__)
  long result;
  register auto r8 asm("r8") = function;
  register void* r9 asm("r9") = argument;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r9, %%rdi\n\t"
      "call *%%r8\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(args), "S"(size), "r"(r8), "r"(r9)
      : "rcx", "r11", "memory");
  return result;
#else
  register long x8 asm("x8") = SYS_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(args);
  register long x1 asm("x1") = static_cast<long>(size);
  register auto x9 asm("x9") = function;
  register void* x10 asm("x10") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, x10\n\t"
      "blr x9\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x9), "r"(x10)
      : "x30", "memory");
  return x0;
#endif
}

template <typename A = long, typename B = long, typename C = long, typename D = long,
          typename E = long, typename F = long>
inline long Call(long number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0, F f = 0) {
  return Invoke(number, ToWord(a), ToWord(b), ToWord(c), ToWord(d), ToWord(e), ToWord(f));
}

// Calls again when a signal came first.
template <typename... Args>
inline long Retry(long number, Args... args) {
  long result;
  do {
    result = Call(number, args...);
  } while (result == -4);  // EINTR
  return result;
}

inline void Close(int fd) {
  if (fd >= 0) Call(SYS_close, fd);
}

// A descriptor that is closed with its scope. UniqueFd would do, but it calls libc's close.
class Fd {
 public:
  Fd() = default;
  explicit Fd(long fd) : fd_(static_cast<int>(fd)) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Fd() { Close(fd_); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int error() const { return -fd_; }  // errno of the call that should have opened it
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1) {
    Close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace ocid::raw

#endif  // OCID_RUNTIME_BASE_RAW_SYSCALL_H_
