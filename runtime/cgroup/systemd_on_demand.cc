// libsystemd, loaded when its first function is called.
//
// For a program that starts often and seldom talks to systemd: the library and the five that it
// needs cost more at each start than making a cgroup does. The functions have their own names and
// types, so that linking this file (alwayslink) in front of -lsystemd is all there is to do. Where
// the library is missing every call fails with ENOPKG, the opening of a connection first.
//
// Thread-safe. Source: dlopen(3), sd-bus(3).
#include <dlfcn.h>
#include <errno.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdarg>

namespace {

template <typename Function>
Function* Find(const char* name) {
  static void* const library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}

template <typename Result>
Result Missing() {
  if constexpr (__is_same(Result, int)) {
    return -ENOPKG;
  } else {
    return Result();
  }
}

}  // namespace

#define OCID_FORWARD(result, name, parameters, arguments)                \
  result name parameters {                                               \
    static auto* const function = Find<decltype(name)>(#name);           \
    return function == nullptr ? Missing<result>() : function arguments; \
  }

// The variadic ones have a sibling that takes a va_list.
#define OCID_FORWARD_VARIADIC(name, sibling, last, parameters, arguments) \
  int name parameters {                                                   \
    static auto* const function = Find<decltype(sibling)>(#sibling);      \
    if (function == nullptr) return -ENOPKG;                              \
    va_list list;                                                         \
    va_start(list, last);                                                 \
    const int result = function arguments;                                \
    va_end(list);                                                         \
    return result;                                                        \
  }

extern "C" {

int sd_booted() { return access("/run/systemd/system/", F_OK) == 0 ? 1 : 0; }

OCID_FORWARD(int, sd_bus_open_system, (sd_bus * *bus), (bus))
OCID_FORWARD(int, sd_bus_open_user, (sd_bus * *bus), (bus))
OCID_FORWARD(sd_bus*, sd_bus_close_unref, (sd_bus * bus), (bus))
OCID_FORWARD(sd_bus*, sd_bus_flush_close_unref, (sd_bus * bus), (bus))
OCID_FORWARD(int, sd_bus_is_open, (sd_bus * bus), (bus))
OCID_FORWARD(int, sd_bus_is_ready, (sd_bus * bus), (bus))
OCID_FORWARD(int, sd_bus_get_n_queued_write, (sd_bus * bus, uint64_t* count), (bus, count))
OCID_FORWARD(int, sd_bus_process, (sd_bus * bus, sd_bus_message** message), (bus, message))
OCID_FORWARD(int, sd_bus_wait, (sd_bus * bus, uint64_t timeout), (bus, timeout))
OCID_FORWARD(int, sd_bus_add_filter,
             (sd_bus * bus, sd_bus_slot** slot, sd_bus_message_handler_t callback, void* context),
             (bus, slot, callback, context))
OCID_FORWARD(int, sd_bus_call,
             (sd_bus * bus, sd_bus_message* message, uint64_t timeout, sd_bus_error* error,
              sd_bus_message** reply),
             (bus, message, timeout, error, reply))
OCID_FORWARD(int, sd_bus_call_async,
             (sd_bus * bus, sd_bus_slot** slot, sd_bus_message* message,
              sd_bus_message_handler_t callback, void* context, uint64_t timeout),
             (bus, slot, message, callback, context, timeout))
OCID_FORWARD(int, sd_bus_message_new_method_call,
             (sd_bus * bus, sd_bus_message** message, const char* destination, const char* path,
              const char* interface, const char* member),
             (bus, message, destination, path, interface, member))
OCID_FORWARD(int, sd_bus_message_append_array,
             (sd_bus_message * message, char type, const void* bytes, size_t size),
             (message, type, bytes, size))
OCID_FORWARD(int, sd_bus_message_open_container,
             (sd_bus_message * message, char type, const char* contents), (message, type, contents))
OCID_FORWARD(int, sd_bus_message_close_container, (sd_bus_message * message), (message))
OCID_FORWARD(int, sd_bus_message_is_signal,
             (sd_bus_message * message, const char* interface, const char* member),
             (message, interface, member))
OCID_FORWARD(const char*, sd_bus_message_get_member, (sd_bus_message * message), (message))
OCID_FORWARD(sd_bus_message*, sd_bus_message_unref, (sd_bus_message * message), (message))

void sd_bus_error_free(sd_bus_error* error) {
  static auto* const function = Find<decltype(sd_bus_error_free)>("sd_bus_error_free");
  if (function != nullptr) function(error);
}

OCID_FORWARD_VARIADIC(sd_bus_message_append, sd_bus_message_appendv, types,
                      (sd_bus_message * message, const char* types, ...), (message, types, list))
OCID_FORWARD_VARIADIC(sd_bus_message_read, sd_bus_message_readv, types,
                      (sd_bus_message * message, const char* types, ...), (message, types, list))
OCID_FORWARD_VARIADIC(sd_bus_call_method_async, sd_bus_call_method_asyncv, types,
                      (sd_bus * bus, sd_bus_slot** slot, const char* destination, const char* path,
                       const char* interface, const char* member, sd_bus_message_handler_t callback,
                       void* context, const char* types, ...),
                      (bus, slot, destination, path, interface, member, callback, context, types,
                       list))

}  // extern "C"
