"""ocid_fuzz_test: one fuzz target, built twice.

    ocid_fuzz_test(
        name = "cdi_spec",            # cdi_spec_fuzz.cc, seeds in corpus/cdi_spec
        deps = ["//daemon/cdi:cdi_spec"],
    )

- NAME_corpus_test, in every build: replays the corpus, so that what was once found stays fixed.
- NAME_fuzz, with --config=fuzz alone: libFuzzer with the address and undefined behaviour sanitizers,
  for as long as FUZZ_SECONDS in .bazelrc and its weight say.

ocid_fuzz_suite, at the end of the package, collects the latter.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")
load("//bazel:copts.bzl", "STRICT")

def ocid_fuzz_test(name, deps = [], max_len = 65536, seed_files = [], weight = 1, **kwargs):
    """One fuzz target.

    Args:
      name: of the target; NAME_fuzz.cc is its source, corpus/NAME its seeds.
      deps: what is fuzzed.
      max_len: bytes of the longest input that is tried.
      seed_files: inputs beside those in the corpus.
      weight: how many times FUZZ_SECONDS it runs.
      **kwargs: for the programs.
    """
    sources = [name + "_fuzz.cc"]
    seeds = native.glob(["corpus/%s/**" % name], allow_empty = False) + seed_files
    seed_args = ["tests/fuzz/corpus/" + name] + ["$(locations %s)" % file for file in seed_files]

    cc_test(
        name = name + "_corpus_test",
        size = "small",
        srcs = sources + ["replay_corpus.cc"],
        args = seed_args,
        copts = STRICT,
        data = seeds,
        deps = deps + [
            ":fuzz_input",
            "//tests/testing:test_main",
        ],
        **kwargs
    )

    cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        srcs = sources,
        copts = STRICT,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps + [":fuzz_input"],
        **kwargs
    )

    native.sh_test(
        name = name + "_fuzz",
        size = "medium",
        timeout = "eternal",
        srcs = ["run_fuzzer.sh"],
        args = [
            "$(location :%s_fuzzer)" % name,
            name,
            str(max_len),
            str(weight),
        ] + seed_args,
        data = seeds + [":%s_fuzzer" % name],
        tags = [
            "external",
            "fuzz",
            "local",
            "manual",
        ],
    )

def ocid_fuzz_suite(name):
    """A test_suite of all fuzzers in the package; build it with --config=fuzz."""
    native.test_suite(
        name = name,
        tags = ["manual"],
        tests = [
            ":" + rule["name"]
            for rule in native.existing_rules().values()
            if "fuzz" in rule.get("tags", [])
        ],
    )
