// What ThreadSanitizer is told to pass over. Debian's abseil is not instrumented: the sanitizer
// does not see the atomic count of references in absl::Status, and calls the last release a race.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_cord.so\n";
}
