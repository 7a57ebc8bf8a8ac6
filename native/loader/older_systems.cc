// The binaries are built on one system and loaded on older ones: LibTorch itself asks for no more than glibc 2.28 and the
// libstdc++ of GCC 8. Where the building system has a newer version of a function, a binary would ask for that one and be
// refused elsewhere. So these few are taken from here, and hand on to the version that every system of today has.
// scripts/prebuild.mjs refuses a binary that asks for more.
#if defined(__x86_64__) && defined(__gnu_linux__)

struct stat;

// NOLINTBEGIN(bugprone-reserved-identifier, bugprone-macro-parentheses): the names are those of the system's libraries.
#define HIDDEN __attribute__((visibility("hidden")))
// Inside this binary `symbol` is a function of ours, which calls what the system's library has under that version.
#define HAND_ON(result, name, symbol, version, parameters, arguments) \
  __asm__(".symver older_" symbol "," symbol "@" version);            \
  result older_##name parameters __asm__("older_" symbol);            \
  HIDDEN result our_##name parameters __asm__(symbol);                \
  result our_##name parameters { return older_##name arguments; }

extern "C" {
HAND_ON(double, exp, "exp", "GLIBC_2.2.5", (double value), (value))
HAND_ON(double, log, "log", "GLIBC_2.2.5", (double value), (value))
HAND_ON(double, pow, "pow", "GLIBC_2.2.5", (double base, double exponent), (base, exponent))
HAND_ON(double, hypot, "hypot", "GLIBC_2.2.5", (double first, double second), (first, second))
HAND_ON(void*, dlopen, "dlopen", "GLIBC_2.2.5", (const char* path, int mode), (path, mode))
HAND_ON(char*, dlerror, "dlerror", "GLIBC_2.2.5", (), ())
// std::condition_variable::wait(std::unique_lock<std::mutex>&)
HAND_ON(void, wait, "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE", "GLIBCXX_3.4.11",
        (void* condition, void* lock), (condition, lock))

// std::stringbuf::str() const&, which C++20 made of str() const: it writes a string to where its caller says.
#define STRINGBUF_STR(qualifiers) \
  "_ZNK" qualifiers "St7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEE3strEv"
__asm__(".symver older_str," STRINGBUF_STR("") "@GLIBCXX_3.4.21");
void* older_str(void* text, const void* buffer);
HIDDEN void* our_str(void* text, const void* buffer) __asm__(STRINGBUF_STR("R"));
void* our_str(void* text, const void* buffer) { return older_str(text, buffer); }

// Before glibc 2.33 fstat was no symbol: it stood in each program, and called this with the layout's version, 1.
__asm__(".symver older___fxstat,__fxstat@GLIBC_2.2.5");
int older___fxstat(int version, int file, struct stat* facts);
HIDDEN int fstat(int file, struct stat* facts) noexcept { return older___fxstat(1, file, facts); }

// Whether there is one thread only, which spares std::shared_ptr an atomic operation: 0 says that there may be several.
extern HIDDEN char __libc_single_threaded;
char __libc_single_threaded = 0;
}
// NOLINTEND(bugprone-reserved-identifier, bugprone-macro-parentheses)
#endif
