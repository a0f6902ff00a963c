#!/usr/bin/env python3
"""Every code that the sources can give has its page in gossip/base/codes_*.cc, and only once.

  tools/tidy_codes.py        names the codes without a page; exit 1 when there are any

A code is a text of capitals with an underscore in it, or a text that is given to CodedError; a
reason of a dropped frame or an event's word comes from the function that names it.
"""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("gossip", "crypto", "store", "cmd")

# Texts of that shape that are no codes: kinds of status, environment variables, what systemd and
# OpenSSL call theirs.
NOT_CODES = re.compile(
    r"(SOTTO|XDG|SSL|OPENSSL|LISTEN|NOTIFY|SD|LC|EVP|OSSL|MYSQL|MARIADB|LIBMYSQL)_.*|.*_SOTTO_.*"
    r"|NO_COLOR|JOURNAL_STREAM|WATCHDOG_USEC|WATCHDOG_PID|INVOCATION_ID|SYSTEMD_.*|COMP_.*"
    r"|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|FAILED_PRECONDITION"
    r"|OUT_OF_RANGE|RESOURCE_EXHAUSTED|DATA_LOSS|DEADLINE_EXCEEDED|UNAUTHENTICATED"
    r"|CLUSTER_NAME|NODE_NAME|CREDENTIALS_DIRECTORY|VERIFY_IDENTITY")
COMMENT = re.compile(r"//[^\n]*")
CAPITALS = re.compile(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')
# CodedError(kind, "CODE", …) and Complaint{exit, "CODE", …}: there a word without an underscore
# counts too.
GIVEN = re.compile(r'(?:CodedError|Complaint)\s*[({][^"{}();]*"([A-Z][A-Z0-9_]*)"')
WORD_SWITCHES = (("crypto/frame_codec.cc", "DropReason"), ("crypto/frame_header.cc", "DropReason"),
                 ("gossip/event.cc", "EventKind"))
WORD = re.compile(r'"([a-z][a-z_]*)"')
PAGE = re.compile(r'^\s*\{\s*"([A-Za-z0-9_]+)",', re.M)


def pages(root=ROOT):
    """The codes that have a page, each as often as it has one."""
    codes = []
    for path in sorted(glob.glob(os.path.join(root, "gossip/base/codes_*.cc"))):
        with open(path, encoding="utf-8") as file:
            codes += PAGE.findall(file.read())
    return codes


def used(root=ROOT):
    """code -> the first place that gives it."""
    places = {}
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(root, folder, "**", "*.cc"), recursive=True)
                           + glob.glob(os.path.join(root, folder, "**", "*.h"), recursive=True)):
            name = os.path.relpath(path, root)
            if name.startswith("gossip/base/code"):
                continue
            with open(path, encoding="utf-8") as file:
                text = COMMENT.sub("", file.read())
            for pattern in (CAPITALS, GIVEN):
                for match in pattern.finditer(text):
                    if not NOT_CODES.fullmatch(match.group(1)):
                        line = text.count("\n", 0, match.start(1)) + 1
                        places.setdefault(match.group(1), f"{name}:{line}")
    for name, enum in WORD_SWITCHES:
        path = os.path.join(root, name)
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            text = file.read()
        start = text.find(f"ToString({enum} ")
        if start < 0:
            continue
        body = text[start:text.find("\n}\n", start)]
        for word in WORD.findall(body):
            if word not in ("none", "unknown"):
                places.setdefault(word, f"{name} (ToString of {enum})")
    return places


def check(root=ROOT):
    """(place, message) of everything that is wrong."""
    have = pages(root)
    for code in sorted(set(have)):
        if have.count(code) > 1:
            yield "gossip/base/codes_*.cc", f"{code} has {have.count(code)} pages"
    for code, place in sorted(used(root).items()):
        if code not in have:
            yield place, f"{code} has no page in gossip/base/codes_*.cc"


def main():
    findings = list(check())
    for place, message in findings:
        print(f"{place}: {message}")
    if not findings:
        print(f"codes: {len(pages())} pages, none is missing")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
