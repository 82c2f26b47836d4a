"""pytest_test: a pytest module that drives the built programs, as a Bazel test."""

def pytest_test(name, srcs, data = [], size = "medium", tags = [], **kwargs):
    """Runs `srcs` with Debian's pytest as root, alone, with the programs in its runfiles.

    Each test function counts as a case of its own in tests/run.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/testing:run_pytest.sh"],
        args = ["$(location %s)" % src for src in srcs],
        data = srcs + data + [
            "//client:ocictl",
            "//daemon:ocid",
            "//proto/ocid/v1:protos",
            "//runtime/supervisor:ocid-supervisor",
            "//tests/testing:ocid_testing",
        ],
        tags = tags + [
            "exclusive",
            "external",
            "local",
            "requires-root",
        ],
        **kwargs
    )
