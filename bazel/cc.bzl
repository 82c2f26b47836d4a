"""ocid_cc_library, ocid_cc_binary and ocid_cc_test: the cc rules with this project's warnings."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("//bazel:copts.bzl", "STRICT", "TEST")

def ocid_cc_library(name, copts = [], **kwargs):
    cc_library(name = name, copts = STRICT + copts, **kwargs)

def ocid_cc_binary(name, copts = [], **kwargs):
    cc_binary(name = name, copts = STRICT + copts, **kwargs)

def ocid_cc_test(name, copts = [], deps = [], size = "small", **kwargs):
    """A GoogleTest program; main and the sanitizers' defaults come with it."""
    cc_test(
        name = name,
        size = size,
        copts = STRICT + TEST + copts,
        deps = deps + ["//tests/testing:test_main"],
        **kwargs
    )
