#!/bin/bash
# What the code between clone and execve may need from outside: functions on memory and strings that touch
# nothing else. Anything more (malloc, stdio, exceptions, errno, locks) is not safe there.
set -u
allowed='^(memcpy|memmove|memset|memcmp|strlen|strnlen|strchr|strcmp)$'
defined=$(nm --defined-only "$@" | awk 'NF == 3 {print $3}' | sort -u)
needed=$(nm --undefined-only "$@" | awk 'NF == 2 {print $2}' | sort -u)
if [ -z "$needed" ]; then
  echo "no symbols found in: $*"
  exit 1
fi
if grep -qE '__(asan|ubsan|tsan|sanitizer)' <<<"$needed"; then
  echo "skipped: a sanitizer adds symbols of its own"
  exit 0
fi
bad=$(comm -23 <(echo "$needed") <(echo "$defined") | grep -vE "$allowed" |
  grep -v '^_GLOBAL_OFFSET_TABLE_$')
if [ -n "$bad" ]; then
  echo "the child's code needs what it must not:"
  c++filt <<<"$bad"
  exit 1
fi
