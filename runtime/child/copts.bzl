"""Compiler flags for code that runs between clone and exec, and for those who share it."""

# No tables, guards or runtime of C++: the archive must need next to nothing (undefined_symbols_test).
CHILD_COPTS = [
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-fno-stack-protector",
    "-U_FORTIFY_SOURCE",
]
