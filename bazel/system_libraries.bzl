"""Repositories for libraries that Debian's packages put into /usr.

Bazel counts headers below /usr/include as a part of the compiler and never looks at them again, so
an upgraded -dev package would leave stale objects behind. Each repository therefore hashes its
packages' versions, as dpkg reports them when the Bazel server starts, into a macro on the command
line of everything that depends on it.
"""

def _system_library_impl(ctx):
    query = ctx.execute(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n"] +
        ctx.attr.packages,
    )
    missing = [line for line in query.stdout.splitlines() if not line.startswith("installed ")]
    if query.return_code or missing:
        fail("@%s: apt-get install --no-install-recommends %s\n%s" %
             (ctx.name, " ".join(ctx.attr.packages), query.stderr))
    for program in ctx.attr.programs:
        ctx.symlink("/usr/bin/" + program, "bin/" + program)

    # Masked, because a negative number in a macro is an expression, not a literal.
    version_hash = hash(query.stdout) & 0x7fffffff
    ctx.file("stamp.bzl", 'STAMP = ["SYSTEM_%s=%d"]\n' % (ctx.name, version_hash))
    ctx.symlink(ctx.attr.build_file, "BUILD.bazel")

_system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "build_file": attr.label(mandatory = True),
        "packages": attr.string_list(mandatory = True),
        "programs": attr.string_list(),
    },
    configure = True,
    local = True,
)

def system_library(name, packages, programs = []):
    """@NAME, built by //bazel/system:NAME.BUILD from the named Debian packages."""
    _system_library(
        name = name,
        build_file = "@ocid//bazel/system:%s.BUILD" % name,
        packages = packages,
        programs = programs,
    )
