"""The house rules that a compiler does not know. Each check takes a path and its text, and yields
(line, message) pairs; the paths decide which rules apply.
"""

import os
import re

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 900

CODE = (".h", ".cc", ".proto", ".bzl", ".bazel", ".py", ".sh")

# Where real time may be read and where a thread may sleep: the shell, the commands, and what tests
# real daemons. Everything else takes time as a value.
CLOCKS = (
    "gossip/message_", "gossip/node", "gossip/stream_channel", "gossip/sync_session",
    "gossip/udp_transport",
    "store/", "cmd/", "crypto/", "tools/", "tests/",
)
CLOCKS_NOT = ("tests/sim/sim_cluster", "tests/sim/world", "tests/sim/network",
              "tests/sim/invariants", "tests/gossip/protocol", "tests/gossip/merge")
SLEEPS = ("tools/relay/", "tools/bench/", "cmd/", "store/", "tests/attack/",
          "tests/cmd/sottod_process", "tests/e2e/", "tests/examples/", "tests/gossip/node",
          "tests/store/", "tests/support/")
# OpenSSL's headers, beside crypto/*.cc and *_internal.h: what speaks TLS, hashes, or measures.
OPENSSL = ("cmd/sottod/process.cc", "gossip/stream_channel.cc", "tests/",
           "tools/bench/allocations.cc", "tools/bench/openssl_gcm.cc")
# Headers that may show Asio, Beast or protobuf: the shell's own, which no public one includes.
HEAVY_HEADERS = ("cmd/sottod/", "gossip/conversation.h", "gossip/message_", "gossip/node_",
                 "gossip/stream_channel.h", "gossip/sync_events.h", "gossip/sync_session.h",
                 "gossip/udp_transport.h", "tests/")
SQL = ("store/", "tests/", "cmd/sotto/commands/store")

_CORE_WORDS = re.compile(
    r"\b(float|double)\b"
    r"|\bstd::(chrono|thread|jthread|mutex|shared_mutex|random_device|mt19937|mt19937_64|atomic"
    r"|unordered_\w+|async|future|cout|cerr|clog|time|getenv|rand|condition_variable)\b"
    r"|\babsl::(BitGen|InsecureBitGen|flat_hash_\w+|node_hash_\w+|Mutex|Time|Now|Duration"
    r"|SleepFor)\b"
    r"|\b(clock_gettime|gettimeofday|getenv|srand|printf|puts)\s*\(|\b(boost|google)::")
_CORE_PRINTS = ("gossip/base/check.h",)  # a broken promise says so before it ends the process


def strip_code(text):
    """Comments and literals blanked out; the line structure is kept."""
    def blank(match):
        piece = match.group(0)
        if piece.startswith("/"):
            return re.sub(r"[^\n]", " ", piece)
        return '""' + re.sub(r"[^\n]", "", piece)
    return re.sub(r'R"(\w*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'
                  r"(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)


def functions_of(code):
    """(first line, last line) of each function body at namespace or class scope, by its braces.

    An approximation that is right for code formatted by clang-format: `code` comes from strip_code.
    """
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                  lambda match: re.sub(r"[^\n]", " ", match.group(0)), code, flags=re.M)
    stack, head, head_line, line, parens = [], "", None, 1, 0
    for char in code:
        if char == "{":
            inside = stack[-1][0] if stack else "namespace"
            kind = _scope_kind(head, inside, parens)
            stack.append((kind, head_line or line, head, parens))
            head, head_line, parens = "", None, 0
        elif char == "}":
            if not stack:
                head, head_line = "", None
            else:
                kind, first, old_head, parens = stack.pop()
                if kind == "function":
                    yield first, line
                if kind == "value":
                    head, head_line = old_head + "{}", first
                else:
                    head, head_line = "", None
        elif char == ";" and parens == 0:
            head, head_line = "", None
        else:
            if char in "()":
                parens = max(0, parens + (1 if char == "(" else -1))
            if not char.isspace() and head_line is None:
                head_line = line
            head += char
        if char == "\n":
            line += 1


def _scope_kind(head, inside, parens):
    words = head.strip()
    if inside not in ("namespace", "class"):
        return "value" if parens or re.search(r"[\w>=,(]$", words) else "block"
    if parens:
        return "value"
    if re.search(r"\bnamespace\b", words) or words.startswith("extern"):
        return "namespace"
    if re.search(r"\b(class|struct|union|enum)\b[^()=]*$", words):
        return "class"
    if "(" not in words or re.search(r"=\s*$", words):
        return "value"
    # A member's initializer in braces: `Foo::Foo() : a_`, `… , b_`.
    if re.search(r"\)\s*(noexcept\s*)?:[^:]", words) and re.search(r"[\w>]$", words):
        return "value"
    return "function"


def _code_lines(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LINE_COLUMNS_MAX and not re.match(r"^\s*(#include|//|#)?\s*\S+$", line):
            yield number, f"{len(line)} columns; at most {LINE_COLUMNS_MAX}"
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if "\t" in line:
            yield number, "a tab"
        if re.search(r"(?://|#|/\*).*\b(T" r"ODO|F" r"IXME|X" r"XX|H" r"ACK)\b", line):
            yield number, "work left undone: do it, or open an issue"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end of the file"
    if text.count("\n") > FILE_LINES_MAX:
        yield 1, f"{text.count(chr(10))} lines; split it (at most {FILE_LINES_MAX})"


def guard_of(path):
    return "SOTTO_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"


def _header(path, text):
    if not re.match(r"//\s*\S", text):
        yield 1, "a header opens with a comment: what it is, and its contract"
    guard = guard_of(path)
    if not re.search(rf"^#ifndef {guard}\n#define {guard}$", text, re.M):
        yield 1, f"no guard {guard}"
    elif not re.search(rf"^#endif\s*//\s*{guard}$", text, re.M):
        yield text.count("\n"), f"the last line is not '#endif  // {guard}'"


def _match_lines(code, pattern, message):
    for number, line in enumerate(code.split("\n"), 1):
        match = re.search(pattern, line)
        if match:
            yield number, message.format(match.group(0).strip())


def _under(path, prefixes):
    return any(path.startswith(prefix) for prefix in prefixes)


def _includes(path, text):
    internal = path.endswith("_internal.h")
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match:
            continue
        name = match.group(1)
        if name.startswith("openssl/"):
            crypto = path.startswith("crypto/") and path.endswith(".cc")
            if not (internal or crypto or _under(path, OPENSSL)):
                yield number, f"<{name}>: OpenSSL only in crypto/*.cc, *_internal.h and the shell"
        if re.match(r"(boost/(asio|beast)|google/protobuf)[/.]|.*\.pb\.h$", name):
            if path.endswith(".h") and not internal and not _under(path, HEAVY_HEADERS):
                yield number, f"<{name}> in a header that many include: *.cc or *_internal.h"
        if re.match(r"(sqlite3|postgresql|libpq-fe|mysql|mariadb)\b", name) \
                and not _under(path, SQL):
            yield number, f"<{name}>: SQL only in store/"
        if name.startswith("absl/synchronization"):
            yield number, "absl::Mutex gives false reports under TSan here: std::mutex"


def _sources(path, text):
    code = strip_code(text)
    yield from _includes(path, text)
    for first, last in functions_of(code):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"a function of {last - first + 1} lines; at most {FUNCTION_LINES_MAX}"
    if not _under(path, CLOCKS) or _under(path, CLOCKS_NOT):
        yield from _match_lines(
            code, r"\b(system|steady|high_resolution)_clock::now|\bclock_gettime\s*\("
            r"|\bgettimeofday\s*\(|(?<![\w.>:])time\s*\((nullptr|NULL|0)?\)",
            "{} outside the allowlist of real time")
    if not _under(path, SLEEPS):
        yield from _match_lines(code, r"\bsleep_(for|until)\s*\(|\bu?sleep\s*\(|\bnanosleep\s*\(",
                                "{}: wait for a condition with a deadline")
    if path.endswith(".h"):
        yield from _match_lines(code, r"^\s*using namespace\b", "{} in a header")
    yield from _match_lines(code, r"\babsl::Mutex\b", "{}: use std::mutex")
    yield from _match_lines(code, r"\bfor \([^;)]*[^:]:[^:](?:[^;)]|\(\*\w+\))*\bView\(\)->",
                            "{}: hold the view; a range's temporaries end before its loop")
    yield from _match_lines(code, r"\bDISABLED_\w+", "{}: a test runs or does not exist")


def check_core(path, text):
    """What no file of the pure core may say, beyond what it may include."""
    if path in _CORE_PRINTS:
        return
    yield from _match_lines(strip_code(text), _CORE_WORDS, "{} in the core")


def _links(path, text, exists):
    body = re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    for number, line in enumerate(body.split("\n"), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:|#", target):
                continue
            place = os.path.normpath(os.path.join(os.path.dirname(path), target.split("#")[0]))
            if not exists(place):
                yield number, f"a link to {target}, which is not there"


def check(path, text, core=frozenset(), exists=os.path.exists):
    """All findings about one file of the tree, as (line, message) in the order of lines."""
    findings = []
    if path.endswith(CODE) or (path.startswith("tools/") and text.startswith("#!")):
        findings += _code_lines(path, text)
    if path.endswith(".h"):
        findings += _header(path, text)
    if path.endswith((".h", ".cc")):
        findings += _sources(path, text)
    if path in core:
        findings += check_core(path, text)
    if path.endswith(".md"):
        findings += _links(path, text, exists)
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"(?<![\w.])/(root|work|home/(?!you/)\w+)/\w", line):
            findings.append((number, "a path of one machine"))
    return sorted(findings)
