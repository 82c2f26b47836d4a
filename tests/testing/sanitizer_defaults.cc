// ThreadSanitizer cannot see the locks inside libraries that were built without it, and Debian's
// gRPC, Protobuf and Abseil were: whatever they hand from one thread to another looks like a race.
// A report with one of their frames in it is silenced; our own code on our own threads is checked
// in full, which is why it locks with std::mutex (runtime/base/mutex.h) and not with absl::Mutex.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:^grpc::\n"
         "race:^grpc_core::\n"
         "race:^google::protobuf::\n"
         "race:^absl::\n"
         "mutex:^grpc::\n";
}

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1";
}
