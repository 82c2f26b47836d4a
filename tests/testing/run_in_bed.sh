#!/usr/bin/env bash
# Runs a test under a systemd, as Bazel runs tests: `run_in_bed.sh BED [OPTION...] -- COMMAND [ARG...]`
# with BED a with-systemd-* program. The command's XML_OUTPUT_FILE comes back; where the machine cannot
# make the bed, the suite counts as one skipped case with the reason.
set -u
bed=$1
shift

results=$(mktemp -d "${TEST_TMPDIR:-/tmp}/bed.XXXXXX")
trap 'rm -rf "$results"' EXIT
if ! reason=$("$bed" --check); then
  echo "skipped: $reason"
  [ -n "${XML_OUTPUT_FILE-}" ] && cat >"$XML_OUTPUT_FILE" <<END
<testsuites><testsuite name="${TEST_TARGET-bed}" tests="1" skipped="1"><testcase
 classname="${bed##*/}" name="${TEST_TARGET##*:}"><skipped message="${reason//[<>&\"]/ }"/></testcase></testsuite></testsuites>
END
  exit 0
fi

xml=${XML_OUTPUT_FILE-}
# Bazel's own are no business of what runs inside, and would make GoogleTest look for shards.
unset TEST_SHARD_STATUS_FILE TEST_WARNINGS_OUTPUT_FILE TEST_PREMATURE_EXIT_FILE TEST_TMPDIR
export XML_OUTPUT_FILE=$results/test.xml
# A bed has a /tmp and a /run of its own: what of ours is there, the checkout and what was built, comes along.
shares=(--share "$results")
for folder in "$(realpath "$(dirname "$(realpath "$0")")/../..")" "${PWD%%/execroot/*}"; do
  case $folder in /tmp/* | /run/*) shares+=(--share "$folder") ;; esac
done
"$bed" "${shares[@]}" "$@"
status=$?
[ -z "$xml" ] || [ ! -s "$results/test.xml" ] || cp "$results/test.xml" "$xml"
exit $status
