#!/usr/bin/env python3
"""Builds docs/examples out of tree, as strangers would, and runs what comes out.

tools/install fills a prefix with what `bazel test` has built anyway; from there CMake, pkg-config
and Bazel each build the watcher, which then joins a daemon of the same prefix and must see it, be
seen, and take its leave. CMake also builds and runs the failover test. A step of tools/check.

  tests/examples/out_of_tree.py [--keep]     needs cmake, pkg-config, bazel; takes a minute or two
"""

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(ROOT, "docs/examples")
LIMIT_S = 60

CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(embedder CXX)
find_package(sotto 0.1 CONFIG REQUIRED)
find_package(GTest REQUIRED)
add_executable(watcher watcher.cc)
target_link_libraries(watcher sotto::sotto)
add_executable(failover_test failover_test.cc)
target_link_libraries(failover_test sotto::testing GTest::gtest_main)
"""

# From the prefix, and as a source tree. The repositories below these are those that Debian's Bazel
# wants of any workspace with C++ and protobuf when it may not download them.
WORKSPACE = """\
new_local_repository(
    name = "sotto",
    build_file = "{prefix}/share/sotto/sotto.BUILD.bazel",
    path = "{prefix}",
)

local_repository(name = "sotto_source", path = "{root}")

new_local_repository(
    name = "com_google_protobuf",
    build_file = "@sotto_source//tools/bazel:protobuf.BUILD",
    path = "/usr/include/google/protobuf",
)

local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
local_repository(name = "rules_proto", path = "/usr/share/bazel/rules/proto")
local_repository(name = "platforms", path = "/usr/share/bazel/platforms")
local_repository(name = "bazel_skylib", path = "/usr/share/bazel/tools/skylib")
local_repository(name = "rules_cc", path = "{root}/tools/bazel/rules_cc")
"""

BUILD = """\
cc_binary(
    name = "watcher",
    srcs = ["watcher.cc"],
    deps = ["@sotto"],
)

cc_binary(
    name = "from_source",
    testonly = True,
    srcs = ["watcher.cc"],
    deps = ["@sotto_source//:sotto", "@sotto_source//:testing"],
)
"""


class Failure(Exception):
    """What did not happen."""


def run(*command, cwd=None, env=None, limit=LIMIT_S * 5):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=limit)
    if done.returncode != 0:
        raise Failure(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Cluster:
    """A CA, a key, folders for nodes, and one daemon: all by the installed programs."""

    def __init__(self, prefix, folder):
        self.prefix, self.folder = prefix, folder
        self.daemon = None
        os.mkdir(folder, 0o700)
        self.sotto("certs", "ca", "create", "--cluster", "edge", "--dir", "ca")
        self.sotto("keys", "generate", "--cluster", "edge", "--to", "cluster.key")

    def sotto(self, *arguments):
        clean = {name: "" for name in os.environ if name.startswith("SOTTO_")}
        return run(f"{self.prefix}/bin/sotto", *arguments, cwd=self.folder, env=clean)

    def add(self, name):
        """The folder of a node, as docs/library.md lays it out."""
        node = os.path.join(self.folder, name)
        os.makedirs(node + "/pki", 0o700)
        self.sotto("certs", "issue", name, "--dir", "ca")
        shutil.copy(f"{self.folder}/ca/ca.crt", f"{node}/pki/ca.crt")
        shutil.copy(f"{self.folder}/ca/{name}.crt", f"{node}/pki/node.crt")
        shutil.copy(f"{self.folder}/ca/{name}.key", f"{node}/pki/node.key")
        config = f"{name}/sottod.toml"
        self.sotto("--config", config, "config", "init", "--cluster", "edge", "--name", name,
                   "--bind", "127.0.0.1:0", "--profile", "local", "--state-dir", f"{node}/state",
                   "--socket", f"{node}/run/admin.sock", "--create-store")
        self.sotto("--config", config, "keys", "import", "--from", "cluster.key")
        return node

    def start_daemon(self, name):
        node = self.add(name)
        with open(f"{node}/log", "wb") as log:
            self.daemon = subprocess.Popen(
                [f"{self.prefix}/bin/sottod", "--config", f"{node}/sottod.toml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.target = f"unix:{node}/run/admin.sock"
        self.sotto("--target", self.target, "wait", "--members", "1", "--timeout", f"{LIMIT_S}s")

    def members(self):
        """{name: (state, address)} as the daemon sees them."""
        told = json.loads(self.sotto("--target", self.target, "members", "-o", "json"))
        return {row["name"]: (row["state"], row["addresses"][0]) for row in told["data"]}

    def stop(self):
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(LIMIT_S)


class Watcher:
    """The example at work."""

    def __init__(self, program, *arguments):
        self.text = ""
        self.process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def expect(self, *lines):
        """Waits until one of these lines has been printed."""
        end = time.monotonic() + LIMIT_S
        while not any(f"\n{line}\n" in "\n" + self.text for line in lines):
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        max(0, end - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise Failure(f"the watcher printed none of {lines}, but:\n{self.text}")
            self.text += data.decode()

    def finish(self):
        self.process.stdin.close()
        code = self.process.wait(LIMIT_S)
        if code != 0:
            raise Failure(f"the watcher ended with {code}:\n{self.text}")


def wait_until(what, condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"not within {LIMIT_S} s: {what}")
        time.sleep(0.05)


def build_with_cmake(prefix, folder):
    for name in ("watcher.cc", "failover.h", "failover_test.cc"):
        shutil.copy(os.path.join(EXAMPLES, name), folder)
    write(f"{folder}/CMakeLists.txt", CMAKE)
    run("cmake", "-S", folder, "-B", f"{folder}/build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", f"{folder}/build", "--parallel", "2")
    told = run(f"{folder}/build/failover_test")
    if "[  PASSED  ] 3 tests." not in told:
        raise Failure(f"failover_test: {told}")
    return f"{folder}/build/watcher"


def build_with_pkg_config(prefix, folder):
    shutil.copy(os.path.join(EXAMPLES, "watcher.cc"), folder)
    path = {"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"}
    flags = run("pkg-config", "--cflags", "--libs", "sotto", env=path).split()
    run("g++", "-std=c++20", "watcher.cc", "-o", "watcher", *flags, cwd=folder)
    return f"{folder}/watcher"


def build_with_bazel(prefix, folder):
    shutil.copy(os.path.join(EXAMPLES, "watcher.cc"), folder)
    write(f"{folder}/WORKSPACE", WORKSPACE.format(prefix=prefix, root=ROOT))
    write(f"{folder}/BUILD.bazel", BUILD)
    base = f"{folder}.base"
    bazel = ["bazel", *shlex.split(os.environ.get("SOTTO_BAZEL_STARTUP", "")),
             f"--output_base={base}"]
    try:
        run(*bazel, "build", "--cxxopt=-std=c++20", "--spawn_strategy=local",
            "--experimental_convenience_symlinks=ignore", ":watcher", cwd=folder)
        place = run(*bazel, "info", "bazel-bin", cwd=folder).split()[-1]
        # Compiling it all once more would take minutes; that it can be is known from the graph.
        run(*bazel, "build", "--nobuild", "--cxxopt=-std=c++20",
            "--proto_compiler=@com_google_protobuf//:protoc", ":from_source", cwd=folder)
        shutil.copy(f"{place}/watcher", f"{folder}/built")
    finally:
        run(*bazel, "shutdown", cwd=folder)
        run("chmod", "-R", "u+w", base)  # Bazel's folders are read-only
    return f"{folder}/built"


WAYS = {"cmake": build_with_cmake, "pkg-config": build_with_pkg_config, "bazel": build_with_bazel}


def try_way(name, prefix, folder, cluster):
    os.mkdir(folder)
    program = WAYS[name](prefix, folder)
    node = cluster.add(name)
    _, address = cluster.members()["daemon"]
    watcher = Watcher(program, node, "127.0.0.1:0", address)
    try:
        watcher.expect("daemon joined", "daemon is alive")
        wait_until(f"the daemon sees {name} alive",
                   lambda: cluster.members().get(name, ("",))[0] == "alive")
        watcher.finish()
        wait_until(f"the daemon sees that {name} left",
                   lambda: cluster.members()[name][0] == "left")
    finally:
        watcher.process.kill()
        watcher.process.wait()


def check(work):
    # Installed for one place and used in another: nothing in a package may hold on to the first.
    place = "/opt/sotto"
    install = [os.path.join(ROOT, "tools/install"), "--prefix", place, "--destdir", f"{work}/stage"]
    print(run(*install, "--config", "fastbuild", limit=1200), end="", flush=True)
    prefix = f"{work}/moved"
    os.rename(f"{work}/stage{place}", prefix)
    cluster = Cluster(prefix, f"{work}/cluster")
    try:
        cluster.start_daemon("daemon")
        for name in WAYS:
            began = time.monotonic()
            try_way(name, prefix, f"{work}/{name}", cluster)
            print(f"{name}: built, joined, left; {time.monotonic() - began:.0f} s", flush=True)
    finally:
        cluster.stop()
    print(run(os.path.join(ROOT, "tools/install"), "--prefix", prefix, "--uninstall"), end="")
    if os.listdir(prefix):
        raise Failure(f"uninstalling left {os.listdir(prefix)}")


def main(arguments):
    if arguments not in ([], ["--keep"]):
        print(__doc__, file=sys.stderr)
        return 2
    work = tempfile.mkdtemp(prefix="sotto-oot.", dir="/tmp")
    try:
        check(work)
    except (Failure, subprocess.TimeoutExpired, OSError, LookupError, ValueError) as error:
        print(f"out of tree: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments:
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
