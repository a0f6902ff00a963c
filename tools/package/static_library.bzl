"""One static library of all that a target needs from this tree, and the system libraries it wants.

Bazel itself makes an archive for each cc_library; an embedder wants one. Third parties stay
outside: they are link flags (//tools/deps), which `<name>.links` lists, one a line, so that
tools/install can hold its package files against them.
"""

def _objects_of(dep):
    """(depset of the objects, the link flags in their order)"""
    objects, flags = [], []
    for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
        flags += linker_input.user_link_flags
        for library in linker_input.libraries:
            # With -fPIC where both exist: the archive may end up in somebody's shared library.
            objects += library.pic_objects or library.objects or []
    return objects, flags

def _static_library_impl(ctx):
    objects, flags = _objects_of(ctx.attr.dep)
    if ctx.attr.without:
        there = {file.path: True for file in _objects_of(ctx.attr.without)[0]}
        objects = [file for file in objects if file.path not in there]
    if not objects:
        fail("nothing to put into the archive")

    archive = ctx.actions.declare_file("lib" + ctx.label.name + ".a")
    arguments = ctx.actions.args()
    arguments.add("qcsD")
    arguments.add(archive)
    arguments.add_all(objects)
    ctx.actions.run(
        executable = "/usr/bin/ar",
        arguments = [arguments],
        inputs = objects,
        outputs = [archive],
        mnemonic = "MergeArchive",
    )

    links = ctx.actions.declare_file("lib" + ctx.label.name + ".links")
    ctx.actions.write(links, "".join([flag + "\n" for flag in flags]))
    return [DefaultInfo(files = depset([archive, links]))]

static_library = rule(
    implementation = _static_library_impl,
    doc = "lib<name>.a with every object of `dep`, less those that `without` has already.",
    attrs = {
        "dep": attr.label(mandatory = True, providers = [CcInfo]),
        "without": attr.label(providers = [CcInfo]),
    },
)
