"""Which files make up the pure core: the closure of //gossip:protocol, read from the BUILD files.

A BUILD file of ours is plain enough to be run as Python with its rules stubbed, so no Bazel server
is needed, and the tests can point this at a tree of their own.
"""

import glob as _glob
import os

ROOT_TARGET = "//gossip:protocol"


class _Quiet(dict):
    """Rules we do not care about are functions that do nothing."""

    def __missing__(self, name):
        if name.isupper() or name.startswith("SOTTO_"):
            return []
        return lambda *args, **kwargs: []


def _targets_of(root, package):
    found = {}
    folder = os.path.join(root, package)

    def cc_library(name, srcs=(), hdrs=(), deps=(), **_):
        found[name] = (list(srcs) + list(hdrs), list(deps))

    def glob(patterns, exclude=(), **_):
        names = set()
        for pattern in patterns:
            names.update(_glob.glob(os.path.join(folder, pattern), recursive=True))
        for pattern in exclude:
            names.difference_update(_glob.glob(os.path.join(folder, pattern), recursive=True))
        return sorted(os.path.relpath(name, folder) for name in names)

    scope = _Quiet(cc_library=cc_library, glob=glob, load=lambda *a, **k: None,
                   package=lambda *a, **k: None, select=lambda choices: [])
    path = os.path.join(folder, "BUILD.bazel")
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), scope)  # pylint: disable=exec-used
    return found


def _absolute(label, package):
    if label.startswith(":"):
        return package, label[1:]
    assert label.startswith("//"), label
    path, _, name = label[2:].partition(":")
    return path, name or os.path.basename(path)


def core_closure(root, target=ROOT_TARGET):
    """(files relative to root, outside labels) of `target` and all it depends on in this tree.

    Outside labels are those of //tools/deps: third parties.
    """
    packages = {}
    files, outside, todo, seen = set(), set(), [_absolute(target, "")], set()
    while todo:
        package, name = todo.pop()
        if (package, name) in seen:
            continue
        seen.add((package, name))
        if package == "tools/deps":
            outside.add(f"//{package}:{name}")
            continue
        if package not in packages:
            packages[package] = _targets_of(root, package)
        if name not in packages[package]:
            raise KeyError(f"//{package}:{name} is not a cc_library")
        sources, deps = packages[package][name]
        files.update(os.path.join(package, source) for source in sources)
        todo.extend(_absolute(dep, package) for dep in deps)
    return sorted(files), sorted(outside)
