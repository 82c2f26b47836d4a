"""Stand-ins for the repositories that Bazel loads by itself and would otherwise download."""

def debian_bazel_repositories():
    """Declares the stand-ins where Bazel is Debian's bazel-bootstrap, which reports no version."""
    if native.bazel_version:
        return
    for name in ["remote_coverage_tools", "rules_cc", "rules_java"]:
        native.local_repository(
            name = name,
            path = "bazel/debian/" + name,
        )
