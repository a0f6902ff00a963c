"""docs/parity.md names what shows each row; this holds the names against the tree.

The last column of each table holds references in backticks, each of one of these forms:

  `Suite.Case`             a GoogleTest case
  `tools/sim --scenario=S` a scenario of the simulator
  `sotto verb [sub] [--f]` a verb of the tool, its sub-verb, its flag
  `section.key`            a setting of sottod
  `Class::member`          a member of a class or struct, in a header
  `GET /v1/path`           a call of the admin API
  `SOME_CODE`              a code of `sotto explain`
  `path/of/file`           a file of the tree

A row has a state, "done", "otherwise" or "refused"; the first two need at least one reference, the
last two need words.
"""

import os
import re

PAGE = "docs/parity.md"
STATES = ("done", "otherwise", "refused")
_ROOTS = ("cmd/", "crypto/", "docs/", "examples/", "gossip/", "store/", "tests/", "tools/")


class Tree:
    """The names that the tree has. `files`: {path: text}."""

    def __init__(self, files):
        self.files = files
        self.cases, self.scenarios, self.settings, self.codes = set(), set(), set(), set()
        self.calls, self.members, self.verbs = set(), {}, {}
        for path, text in files.items():
            if path.startswith("tests/") and path.endswith(".cc"):
                self.cases.update(f"{suite}.{case}" for suite, case in re.findall(
                    r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", text, re.M))
            if path.startswith("tests/sim/scenarios"):
                self.scenarios.update(re.findall(r'\{"([a-z0-9_]+)", "', text))
            if path.startswith("cmd/config/"):
                self.settings.update(re.findall(r'"([a-z_]+(?:\.[a-z_]+)+)"', text))
            if path.startswith("cmd/sottod/"):
                self.calls.update(re.findall(r'"(/v1/[a-z/_]*)', text))
            if path.startswith("gossip/base/") and path.endswith(".cc"):
                self.codes.update(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{4,})"', text))
            if path.endswith(".h"):
                self._learn_members(text)
            if path.startswith("cmd/sotto/commands/") and path.endswith(".cc"):
                self._learn_verbs(text)

    def _learn_members(self, text):
        for match in re.finditer(r"\b(?:class|struct)\s+(\w+)[^;{}()]*\{", text):
            depth, end = 1, match.end()
            while end < len(text) and depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            self.members.setdefault(match.group(1), set()).update(
                re.findall(r"\w+", re.sub(r"//[^\n]*", "", text[match.end():end])))

    def _learn_verbs(self, text):
        verb, flags = None, set(re.findall(r"--[a-z][a-z-]*", text))
        for owner, name in re.findall(r'(\w+)\.(?:Sub|add_subcommand)\(\s*"([a-z-]+)"', text):
            if owner == "root":
                verb = name
                self.verbs.setdefault(verb, (set(), set()))[1].update(flags)
            elif owner in self.verbs:  # a file of its own for some of a verb's sub-verbs
                self.verbs[owner][0].add(name)
                self.verbs[owner][1].update(flags)
            elif verb:
                self.verbs[verb][0].add(name)

    def _has_verb(self, words):
        if not words or words[0] not in self.verbs:
            return False
        subs, flags = self.verbs[words[0]]
        for place, word in enumerate(words[1:]):
            if word.startswith("-"):
                if word.startswith("--") and word not in flags:
                    return False
            elif re.fullmatch(r"[a-z-]+", word) and place == 0 and word not in subs:
                return False
        return True

    def knows(self, name):
        if name.startswith("sotto "):
            return self._has_verb(name.split()[1:])
        if re.fullmatch(r"(GET|POST) /v1/\S+", name):
            call = re.sub(r"[A-Z{?].*$", "", name.split()[1])
            return call in self.calls
        if name.startswith("tools/sim --scenario="):
            return name.split("=", 1)[1] in self.scenarios
        if name.startswith(_ROOTS):
            return name in self.files or any(path.startswith(name.rstrip("/") + "/")
                                             for path in self.files)
        if "::" in name:
            owner, member = name.split("::", 1)
            return member in self.members.get(owner, ())
        if re.fullmatch(r"[A-Z]\w*\.\w+", name):
            return name in self.cases
        if re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
            return name in self.codes
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name):
            return name in self.settings
        return name in self.files


def rows(text):
    """(line, cells) of each body row of the tables whose last column is "shown by"."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[-1] == "shown by":
            inside = True
        elif inside and not set(line) <= set("|-: "):
            yield number, cells


def check(text, tree):
    """(line, message) for each row that is not as it should be."""
    for number, cells in rows(text):
        if len(cells) < 4:
            yield number, "a row needs: what they have, state, how it is here, shown by"
            continue
        state, words, shown = cells[-3], cells[-2], cells[-1]
        names = re.findall(r"`([^`]+)`", shown)
        if state not in STATES:
            yield number, f"state {state!r}; it is one of {', '.join(STATES)}"
        if not words and state != "done":
            yield number, "no word on how it is here, or why not"
        if not names and state != "refused":
            yield number, f"{state}, and nothing shows it"
        for name in names:
            if not tree.knows(name):
                yield number, f"`{name}` is not in the tree"


def read_tree(paths):
    files = {}
    for path in paths:
        text = ""
        if path.endswith((".h", ".cc")):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        files[path] = text
    return Tree(files)


def check_page(paths):
    if not os.path.exists(PAGE):
        return []
    with open(PAGE, encoding="utf-8") as file:
        return list(check(file.read(), read_tree(paths)))
