"""Compiler flags of this project's own code; generated code and system headers get none of them."""

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
