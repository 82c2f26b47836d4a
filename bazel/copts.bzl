"""Compiler flags of this project's own code; generated code and system headers get none of them."""

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]

# Test code is compiled once and runs for a moment: optimising it would be most of its cost.
TEST = ["-O0", "-U_FORTIFY_SOURCE"]
