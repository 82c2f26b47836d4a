"""cc_grpc_library: C++ messages and, unless told otherwise, gRPC services from .proto files.

    cc_grpc_library(
        name = "container_cc_grpc",
        srcs = ["container.proto"],     # imported and #included by their path from the workspace root
        deps = [":types_cc_proto"],     # the cc_grpc_library targets whose .proto files these import
        grpc = True,                    # False: messages only
    )

The headers are "path/to/container.pb.h" and "path/to/container.grpc.pb.h".
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

ProtoSourcesInfo = provider(
    doc = "The .proto files of a cc_grpc_library and of everything it depends on.",
    fields = {"transitive_sources": "depset of File"},
)

# Generated code is not ours to mend.
_COPTS = ["-w"]

def _generate(ctx, root, suffixes):
    """Declares one protoc action per .proto file. Returns imports, output folder, files by suffix."""
    out_dir = "%s/%s/%s" % (ctx.bin_dir.path, ctx.label.package, root)
    imports = depset(
        ctx.files.srcs,
        transitive = [dep[ProtoSourcesInfo].transitive_sources for dep in ctx.attr.deps],
    )
    outputs = {suffix: [] for suffix in suffixes}
    for src in ctx.files.srcs:
        stem = "%s/%s" % (root, src.short_path[:-len(".proto")])
        outs = []
        for suffix in suffixes:
            out = ctx.actions.declare_file(stem + suffix)
            outputs[suffix].append(out)
            outs.append(out)
        args = ctx.actions.args()
        args.add("--proto_path=.")
        args.add("--cpp_out=" + out_dir)
        tools = []
        if ctx.attr.grpc:
            args.add(ctx.executable._grpc_plugin, format = "--plugin=protoc-gen-grpc=%s")
            args.add("--grpc_out=" + out_dir)
            tools.append(ctx.executable._grpc_plugin)
        args.add(src)
        ctx.actions.run(
            mnemonic = "ProtocCpp",
            progress_message = "Generating C++ from %s" % src.short_path,
            executable = ctx.executable._protoc,
            arguments = [args],
            inputs = imports,
            tools = tools,
            outputs = outs,
        )
    return imports, out_dir, outputs

def _impl(ctx):
    header_suffixes = [".pb.h"]
    source_suffixes = [".pb.cc"]
    runtime = [ctx.attr._protobuf]
    if ctx.attr.grpc:
        header_suffixes.append(".grpc.pb.h")
        source_suffixes.append(".grpc.pb.cc")
        runtime.append(ctx.attr._grpcpp)

    # A folder of its own, searched with -isystem, so that generated headers raise no warnings.
    imports, out_dir, outputs = _generate(
        ctx,
        ctx.label.name + ".pb",
        header_suffixes + source_suffixes,
    )
    headers = [f for suffix in header_suffixes for f in outputs[suffix]]
    sources = [f for suffix in source_suffixes for f in outputs[suffix]]

    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    cc_deps = [dep[CcInfo] for dep in ctx.attr.deps + runtime]
    compilation_context, compiled = cc_common.compile(
        name = ctx.label.name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        srcs = sources,
        public_hdrs = headers,
        system_includes = [out_dir],
        user_compile_flags = _COPTS,
        compilation_contexts = [dep.compilation_context for dep in cc_deps],
    )
    linking_context, linked = cc_common.create_linking_context_from_compilation_outputs(
        name = ctx.label.name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        compilation_outputs = compiled,
        linking_contexts = [dep.linking_context for dep in cc_deps],
        disallow_dynamic_library = True,
    )
    library = linked.library_to_link
    archives = []
    if library:
        archives = [f for f in [library.static_library, library.pic_static_library] if f]
    return [
        DefaultInfo(files = depset(archives)),
        OutputGroupInfo(generated = depset(headers + sources)),
        CcInfo(compilation_context = compilation_context, linking_context = linking_context),
        ProtoSourcesInfo(transitive_sources = imports),
    ]

cc_grpc_library = rule(
    implementation = _impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        "deps": attr.label_list(providers = [ProtoSourcesInfo, CcInfo]),
        "grpc": attr.bool(default = True, doc = "Services too, not only messages."),
        "_protoc": attr.label(
            default = "@protobuf//:protoc",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_grpc_plugin": attr.label(
            default = "@grpc//:grpc_cpp_plugin",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_protobuf": attr.label(default = "@protobuf//:protobuf", providers = [CcInfo]),
        "_grpcpp": attr.label(default = "@grpc//:grpc++", providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
