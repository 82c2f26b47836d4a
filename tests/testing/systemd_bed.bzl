"""systemd_bed_test: a test that runs under a systemd, whatever runs as PID 1 on the machine."""

def systemd_bed_test(name, command, data, bed = "ns", bed_options = [], size = "medium", tags = [], **kwargs):
    """Runs `command`, a list of words with $(location)s, in tests/testing/with-systemd-`bed`.

    Its cases are what it writes to XML_OUTPUT_FILE; where the machine cannot make the bed it is one
    skipped case with the reason.
    """
    program = "//tests/testing:with-systemd-" + bed
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/testing:run_in_bed.sh"],
        args = ["$(location %s)" % program] + bed_options + ["--"] + command,
        data = data + [
            program,
            "//tests/testing:systemd_bed.sh",
        ],
        tags = tags + [
            "exclusive",
            "external",
            "local",
            "requires-root",
            "requires-systemd",
        ],
        **kwargs
    )
