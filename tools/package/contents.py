"""What a package of sotto holds: headers, libraries, programs, and the three files that tell build
tools how to use it. All of them come from this one list.
"""

import os
import re
import subprocess
from typing import NamedTuple, Tuple

# Public headers; whatever they include goes along.
FACE = "tools/package/include"
OURS = ("crypto", "gossip", "store", "tests")


class Library(NamedTuple):
    """A library of ours: one archive, and the targets it is known by."""
    name: str          # lib<name>.a
    target: str        # sotto::<target>
    pc: str            # <pc>.pc
    bazel: str         # what builds the archive
    headers: Tuple[str, ...]  # the public ones, below FACE
    about: str
    needs: Tuple[str, ...] = ()  # other libraries of this list


LIBRARIES = (
    Library("sotto", "sotto", "sotto", "//tools/package:sotto", ("sotto/node.h", "sotto/store.h"),
            "Encrypted cluster membership"),
    Library("sotto_testing", "testing", "sotto-testing", "//tools/package:sotto_testing",
            ("sotto/testing.h",), "Simulated sotto clusters for unit tests", needs=("sotto",)),
)


class System(NamedTuple):
    """A system library that ours are linked with. Our headers show only abseil's Status."""
    links: str         # a pattern of the link flags by which //tools/deps names it
    pc: Tuple[str, ...]
    package: str       # of CMake's find_dependency; empty: the targets are plain libraries
    targets: Tuple[str, ...]
    shown: bool = False  # in public headers: compiled against, not just linked with


SYSTEM = (
    System(r"-labsl_\w+", ("absl_status", "absl_statusor", "absl_strings", "absl_str_format",
            "absl_cord"),
           "absl CONFIG", ("absl::status", "absl::statusor", "absl::strings",
                           "absl::str_format", "absl::cord"), shown=True),
    System(r"-lprotobuf", ("protobuf",), "Protobuf", ("protobuf::libprotobuf",)),
    System(r"-l(ssl|crypto)", ("libssl", "libcrypto"), "OpenSSL",
           ("OpenSSL::SSL", "OpenSSL::Crypto")),
    System(r"-lsqlite3", ("sqlite3",), "SQLite3", ("SQLite::SQLite3",)),
    System(r"-lpq", ("libpq",), "PostgreSQL", ("PostgreSQL::PostgreSQL",)),
    System(r"-lmariadb", ("libmariadb",), "", ("mariadb",)),  # CMake has no module for it
    System(r"-lpthread", (), "Threads", ("Threads::Threads",)),
)

# How the library was compiled against Boost.Asio. An io_context that is handed to a node has to be
# the same class on both sides.
DEFINES = ("BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING", "BOOST_ASIO_NO_DEPRECATED",
           "BOOST_ASIO_NO_TS_EXECUTORS")


class ContentsError(Exception):
    """The tree cannot be packed as it is."""


def version(root):
    """(major, minor, patch) of gossip/version.h, whose spellings must agree."""
    with open(os.path.join(root, "gossip/version.h"), encoding="utf-8") as file:
        text = file.read()
    numbers = tuple(int(re.search(rf"#define SOTTO_VERSION_{part} (\d+)$", text, re.M).group(1))
                    for part in ("MAJOR", "MINOR", "PATCH"))
    dotted = ".".join(map(str, numbers))
    if f'#define SOTTO_VERSION "{dotted}"' not in text:
        raise ContentsError(f"gossip/version.h: SOTTO_VERSION is not {dotted}")
    return numbers


def headers(root, library, compiler="g++"):
    """Every header of the tree that the library's public ones reach, by the compiler's account."""
    found = set()
    for header in library.headers:
        done = subprocess.run(
            [compiler, "-std=c++20", "-x", "c++", "-I.", f"-I{FACE}", "-M", f"{FACE}/{header}"],
            cwd=root, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise ContentsError(f"{FACE}/{header} does not compile: {done.stderr.strip()}")
        names = done.stdout.replace("\\\n", " ").split()[1:]
        found.update(os.path.normpath(name) for name in names if not os.path.isabs(name))
    return sorted(found)


def installed_header(path):
    """Where a header of the tree lies in a package: everything is below include/sotto."""
    if path.startswith(FACE + "/"):
        return "include/" + path[len(FACE) + 1:]
    return "include/sotto/" + path


def installed_text(text):
    """Our headers name each other from the top of the tree. In a package that is include/sotto, and
    a search path for it would offer our "gossip/" and "store/" to everybody's includes."""
    return re.sub(r'^(\s*#\s*include\s+")(?=(?:' + "|".join(OURS) + r')/)', r"\1sotto/", text,
                  flags=re.M)


def check_links(flags):
    """Every system library that the build links with stands in SYSTEM."""
    for flag in flags:
        known = flag.startswith("-Wl,") or any(re.fullmatch(s.links, flag) for s in SYSTEM)
        if not known:
            raise ContentsError(f"{flag} is linked with and not in SYSTEM of "
                                "tools/package/contents.py")


def pkg_config(library, numbers):
    """<pc>.pc. The library is an archive, so whoever links it links what it needs: plain
    Requires."""
    requires = [f"{need} = {_dotted(numbers)}" for need in library.needs]
    if not library.needs:
        requires += [name for system in SYSTEM for name in system.pc]
    return f"""\
prefix=${{pcfiledir}}/../..
includedir=${{prefix}}/include
libdir=${{prefix}}/lib

Name: {library.pc}
Description: {library.about}
Version: {_dotted(numbers)}
Requires: {', '.join(requires)}
Cflags: -I${{includedir}} {' '.join('-D' + define for define in DEFINES)} -pthread
Libs: -L${{libdir}} -l{library.name} -pthread
"""


def cmake_config(libraries):
    """sottoConfig.cmake."""
    lines = ["# find_package(sotto CONFIG): " +
             ", ".join(f"sotto::{library.target}" for library in libraries) + ".",
             "include(CMakeFindDependencyMacro)"]
    lines += [f"find_dependency({system.package})" for system in SYSTEM if system.package]
    lines += ['get_filename_component(_sotto_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)']
    for library in libraries:
        if library.needs:
            links = [f"sotto::{need}" for need in library.needs]
        else:
            links = [target if system.shown else f"$<LINK_ONLY:{target}>"
                     for system in SYSTEM for target in system.targets]
        lines.append(f"""
if(NOT TARGET sotto::{library.target})
  add_library(sotto::{library.target} STATIC IMPORTED)
  set_target_properties(sotto::{library.target} PROPERTIES
    IMPORTED_LOCATION "${{_sotto_prefix}}/lib/lib{library.name}.a"
    INTERFACE_INCLUDE_DIRECTORIES "${{_sotto_prefix}}/include"
    INTERFACE_COMPILE_DEFINITIONS "{';'.join(DEFINES)}"
    INTERFACE_COMPILE_FEATURES cxx_std_20
    INTERFACE_LINK_LIBRARIES "{';'.join(links)}")
endif()""")
    lines.append("unset(_sotto_prefix)")
    return "\n".join(lines) + "\n"


def cmake_version(numbers):
    """sottoConfigVersion.cmake: before 1.0 a minor version is another interface."""
    same = "${PACKAGE_FIND_VERSION_MAJOR}.${PACKAGE_FIND_VERSION_MINOR}"
    interface = f"{numbers[0]}.{numbers[1]}"
    if numbers[0] > 0:
        same, interface = "${PACKAGE_FIND_VERSION_MAJOR}", str(numbers[0])
    return f"""\
set(PACKAGE_VERSION "{_dotted(numbers)}")
if(PACKAGE_FIND_VERSION STREQUAL "" OR
   ("{same}" STREQUAL "{interface}" AND NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION))
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
"""


def bazel_build(libraries, flags):
    """The BUILD file for new_local_repository on the prefix."""
    linkopts = "    linkopts = [\n" + "".join(f'        "{flag}",\n' for flag in flags) + "    ],\n"
    text = ["# For a WORKSPACE: new_local_repository(name = \"sotto\", path = <prefix>,",
            "# build_file = \"<prefix>/share/sotto/sotto.BUILD.bazel\")",
            'package(default_visibility = ["//visibility:public"])']
    for library in libraries:
        deps = "".join(f', ":{need}"' for need in library.needs)
        text.append(f"""
cc_import(
    name = "{library.name}_archive",
    static_library = "lib/lib{library.name}.a",
    visibility = ["//visibility:private"],
)

cc_library(
    name = "{library.target}",
    hdrs = glob(["include/sotto/**/*.h"]),
    defines = [{', '.join(f'"{define}"' for define in DEFINES)}],
    includes = ["include"],
{"" if library.needs else linkopts}    deps = [":{library.name}_archive"{deps}],
)""")
    return "\n".join(text) + "\n"


def package_files(libraries, numbers, flags):
    """{path in the prefix: text} of the files for build tools."""
    files = {f"lib/pkgconfig/{library.pc}.pc": pkg_config(library, numbers)
             for library in libraries}
    files["lib/cmake/sotto/sottoConfig.cmake"] = cmake_config(libraries)
    files["lib/cmake/sotto/sottoConfigVersion.cmake"] = cmake_version(numbers)
    files["share/sotto/sotto.BUILD.bazel"] = bazel_build(libraries, flags)
    return files


def _dotted(numbers):
    return ".".join(map(str, numbers))
