#!/bin/sh
# Runs the named test modules; Bazel reads the cases from XML_OUTPUT_FILE. The current folder is that
# of the runfiles. A test whose thread dies has failed, and of that: what else it misses follows from it.
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD" export PYTHONDONTWRITEBYTECODE PYTHONPATH
exec /usr/bin/python3 -m pytest -p no:cacheprovider -rs --tb=short -o junit_family=xunit1 \
  -W error::pytest.PytestUnhandledThreadExceptionWarning \
  ${TESTBRIDGE_TEST_ONLY:+-k "$TESTBRIDGE_TEST_ONLY"} \
  --junitxml="${XML_OUTPUT_FILE:-/dev/null}" "$@"
