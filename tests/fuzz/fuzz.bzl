"""Fuzz targets that are plain tests too."""

load("//tools:copts.bzl", "SOTTO_COPTS")

def sotto_fuzz(name, srcs, deps = [], size = "small", **kwargs):
    """A target with `LLVMFuzzerTestOneInput` and seeds in corpus/<name>/.

    Under --config=fuzz it is a libFuzzer binary, to be run by hand on a folder of one's own:
      bazel build --config=fuzz //tests/fuzz:<name>
      bazel-bin/tests/fuzz/<name> /tmp/<name> tests/fuzz/corpus/<name>
    Otherwise it replays the seeds and a fixed number of seeded mutations of them, as a test.
    """
    folder = native.package_name() + "/corpus/" + name
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = select({
            "//tests/fuzz:fuzzing": ["-runs=20000", "-max_len=65536"],
            "//conditions:default": [],
        }) + [folder],
        copts = SOTTO_COPTS,
        data = native.glob(["corpus/" + name + "/**"]),
        linkopts = select({
            # Bazel links with clang rather than clang++.
            "//tests/fuzz:fuzzing": ["-fsanitize=fuzzer", "-fsanitize-link-c++-runtime"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        deps = deps + select({
            "//tests/fuzz:fuzzing": [],
            "//conditions:default": ["//tests/fuzz:replay_main"],
        }),
        **kwargs
    )
