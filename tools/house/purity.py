"""Proves that the protocol core does no I/O, from what the compiler itself read.

Every source and header of //gossip:protocol's closure is preprocessed with the project's flags; the
compiler's dependency file (-M) and its include tree (-H) tell which headers it opened. A query of
targets could not see an include that needs no `deps` entry, because Debian's libraries lie on the
compiler's default path.
"""

import concurrent.futures
import os
import re
import subprocess
import tempfile

FLAGS = ["-std=c++20", "-x", "c++", "-I.", "-DSOTTO_PURITY"]

# Libraries that no file of the core may reach, by any path.
REACH = [
    (re.compile(r"(^|/)boost/"), "Boost"),
    (re.compile(r"(^|/)openssl/"), "OpenSSL"),
    (re.compile(r"(^|/)google/protobuf/"), "protobuf"),
    (re.compile(r"(^|/)(sqlite3|libpq-fe|mysql)\.h$"), "SQL"),
    (re.compile(r"(^|/)(spdlog|fmt|toml\+\+)/"), "a command's library"),
    (re.compile(r"\.pb\.h$"), "generated protobuf code"),
]

# Headers that no file of the core may name. The standard library and abseil reach some of them on
# their own behalf; what counts is that no line of ours asks for them.
_STD = ("chrono thread mutex shared_mutex condition_variable future semaphore latch barrier "
        "stop_token atomic random unordered_map unordered_set iostream fstream sstream istream "
        "ostream ctime time.h cmath math.h filesystem coroutine sys/.* unistd.h pthread.h").split()
NAME = [(re.compile(r"/(c\+\+/\d+|include|\w+-linux-gnu)/(" + "|".join(_STD) + r")$"),
         "a clock, thread, lock, random or stream header"),
        (re.compile(r"/absl/(time|synchronization|random|container|base/(call_once|internal))/"),
         "abseil's clocks, locks, random numbers or hash tables")]


class CompileError(Exception):
    """The compiler could not read a file of the core."""


def _run(compiler, root, path):
    with tempfile.NamedTemporaryFile(suffix=".d") as dep_file:
        done = subprocess.run([compiler, *FLAGS, "-H", "-M", "-MF", dep_file.name, path], cwd=root,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode != 0:
            raise CompileError(f"{path}: the compiler cannot read it:\n{done.stderr[-1500:]}")
        with open(dep_file.name, encoding="utf-8") as file:
            listed = file.read().replace("\\\n", " ").partition(":")[2].split()
        return listed, done.stderr


def _named_by_us(path, tree, own):
    """(includer, header) pairs where the includer is a file of the core."""
    stack, pairs = [path], []
    for line in tree.splitlines():
        match = re.match(r"^(\.+) (.*)$", line)
        if not match:
            continue
        depth, header = len(match.group(1)), match.group(2)
        del stack[depth:]
        if os.path.normpath(stack[-1]) in own:
            pairs.append((os.path.normpath(stack[-1]), header))
        stack.append(header)
    return pairs


def check_file(compiler, root, path, core_files):
    """Sorted findings about one file of the core; empty when it is pure."""
    listed, tree = _run(compiler, root, path)
    own = {os.path.normpath(file) for file in core_files}
    findings = set()
    for header in listed:
        plain = os.path.normpath(header)
        for pattern, what in REACH:
            if pattern.search(header):
                findings.add(f"{path}: reaches {what}: {header}")
        if not os.path.isabs(plain) and plain not in own and plain != os.path.normpath(path):
            findings.add(f"{path}: reaches {plain}, which is not in the core")
    for includer, header in _named_by_us(path, tree, own | {os.path.normpath(path)}):
        for pattern, what in NAME:
            if pattern.search(os.path.normpath(header)):
                findings.add(f"{includer}: names {what}: {header}")
    # A header read before (#pragma once, guards) is missing from the tree: the text is the second
    # witness.
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for name in re.findall(r'^\s*#\s*include\s*<([^>]+)>', file.read(), re.M):
            if re.fullmatch("|".join(_STD), name):
                findings.add(f"{path}: names {NAME[0][1]}: <{name}>")
    return sorted(findings)


def check_core(root, core_files, compiler="g++"):
    """(findings, number of files read)."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        results = pool.map(lambda path: check_file(compiler, root, path, core_files), core_files)
        findings = sorted(set(line for result in results for line in result))
    return findings, len(core_files)
