// What a ScopeAnchor executes: waits until its standard input ends. Without libc; its bytes are data of
// whoever links scope_anchor.
#include <errno.h>
#include <linux/prctl.h>

#include "runtime/base/raw_syscall.h"

extern "C" [[noreturn]] void _start() {
  using ocid::raw::Call;
  Call(SYS_prctl, PR_SET_NAME, "ocid-anchor");
  char byte = 0;
  while (Call(SYS_read, 0, &byte, sizeof(byte)) == -EINTR) {
  }
  while (true) Call(SYS_exit_group, 0);
}
