"""pytest_test: a pytest module that drives the built programs, as a Bazel test."""

load("//tests/testing:systemd_bed.bzl", "systemd_bed_test")

PROGRAMS = [
    "//client:ocictl",
    "//daemon:ocid",
    "//proto/ocid/v1:protos",
    "//runtime/supervisor:ocid-supervisor",
    "//tests/testing:ocid_testing",
]

def pytest_test(name, srcs, data = [], size = "medium", tags = [], **kwargs):
    """Runs `srcs` with Debian's pytest as root, alone, with the programs in its runfiles.

    Each test function counts as a case of its own in tests/run.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/testing:run_pytest.sh"],
        args = ["$(location %s)" % src for src in srcs],
        data = srcs + data + PROGRAMS,
        tags = tags + [
            "exclusive",
            "external",
            "local",
            "requires-root",
        ],
        **kwargs
    )

def bed_pytest_test(name, srcs, data = [], environment = {}, **kwargs):
    """The same under a systemd: see systemd_bed_test. `environment` is of the modules."""
    systemd_bed_test(
        name = name,
        command = ["env"] + ["%s=%s" % entry for entry in environment.items()] +
                  ["$(location //tests/testing:run_pytest.sh)"] +
                  ["$(location %s)" % src for src in srcs],
        data = srcs + data + PROGRAMS + ["//tests/testing:run_pytest.sh"],
        **kwargs
    )
