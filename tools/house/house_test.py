"""Tests of the house rules: each rule is broken once, and each near miss passes."""

import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from house import core_sources, count_tests, parity, purity, tidy_rules  # noqa: E402


def messages(path, text, **kwargs):
    return [message for _, message in tidy_rules.check(path, text, **kwargs)]


def header(path, body):
    guard = tidy_rules.guard_of(path)
    return f"// What it is.\n#ifndef {guard}\n#define {guard}\n{body}\n#endif  // {guard}\n"


class Lines(unittest.TestCase):
    def test_a_line_of_100_columns_passes_and_one_of_101_does_not(self):
        self.assertEqual(messages("gossip/a.cc", "int a; //" + " b" * 45 + "c\n"), [])
        self.assertIn("101 columns", messages("gossip/a.cc", "int a; // " + "b c" * 30 + "d\n")[0])

    def test_a_long_word_alone_may_stand(self):
        self.assertEqual(messages("gossip/a.cc", "// https://example.org/" + "x" * 100 + "\n"), [])

    def test_tabs_trailing_spaces_and_missing_newlines_are_found(self):
        self.assertEqual(messages("gossip/a.cc", "\tint a;\n"), ["a tab"])
        self.assertEqual(messages("gossip/a.cc", "int a; \n"), ["space at the end of the line"])
        self.assertEqual(messages("gossip/a.cc", "int a;"), ["no newline at the end of the file"])

    def test_work_left_undone_is_found(self):
        self.assertEqual(len(messages("gossip/a.cc", "// TO" + "DO: later\n")), 1)


class Parity(unittest.TestCase):
    TREE = parity.Tree({
        "tests/a/b_test.cc": "TEST_F(Probe, Works) {\nTEST(Row,\n     Merges) {\n",
        "tests/sim/scenarios_x.cc": '      {"loss", "a fifth lost", 16, 5, Loss},\n',
        "cmd/config/schema.cc": 'Key<&N::c>("gossip.bind", kText)',
        "cmd/sottod/admin_routes.cc": '{"GET", "/v1/status", F}, kPath = "/v1/members/";',
        "cmd/sotto/commands/keys.cc": 'root.Sub("keys", "x"); verb.Sub("ls", "y"); "--all" '
                                      'root.Sub("kek", "z")',
        "gossip/node.h": "class Node {\n  Status Leave(int);\n};\nstruct Other { int gone; };\n",
        "gossip/base/codes.cc": '{"NAME_CONFLICT", "…"}',
        "docs/protocol.md": "",
    })

    def findings(self, *cells):
        page = "| # | theirs | state | here | shown by |\n|---|---|---|---|---|\n| "
        return [message for _, message in parity.check(page + " | ".join(cells) + " |\n",
                                                       self.TREE)]

    def test_each_form_of_a_reference_is_found_where_it_is(self):
        for name in ("Probe.Works", "Row.Merges", "tools/sim --scenario=loss", "gossip.bind",
                     "GET /v1/status", "GET /v1/members/NAME", "sotto keys ls", "sotto keys",
                     "sotto keys ls --all", "sotto kek",
                     "Node::Leave", "NAME_CONFLICT", "docs/protocol.md"):
            self.assertEqual(self.findings("1", "x", "done", "so", f"`{name}`"), [], name)

    def test_each_form_of_a_reference_is_missed_where_it_is_not(self):
        for name in ("Probe.Breaks", "tools/sim --scenario=gain", "gossip.bound", "GET /v1/stat",
                     "sotto key", "sotto keys rm", "sotto kek ls", "sotto ls",
                     "sotto keys --none", "Node::gone",
                     "Nobody::Leave", "NAME_PEACE", "docs/other.md", "anything"):
            self.assertEqual(self.findings("1", "x", "done", "so", f"`{name}`"),
                             [f"`{name}` is not in the tree"], name)

    def test_a_row_has_a_state_words_and_something_that_shows_it(self):
        self.assertEqual(self.findings("1", "x", "refused", "no need", ""), [])
        self.assertEqual(self.findings("1", "x", "done", "", "`Probe.Works`"), [])
        self.assertIn("nothing shows it", self.findings("1", "x", "done", "so", "")[0])
        self.assertIn("no word", self.findings("1", "x", "refused", "", "")[0])
        self.assertIn("state 'half'", self.findings("1", "x", "half", "so", "`Probe.Works`")[0])

    def test_other_tables_are_left_alone(self):
        page = "| a | b |\n|---|---|\n| 1 | `Nobody.Home` |\n"
        self.assertEqual(list(parity.check(page, self.TREE)), [])


class Functions(unittest.TestCase):
    def spans(self, code):
        return list(tidy_rules.functions_of(tidy_rules.strip_code(code)))

    def test_a_function_is_measured_from_its_first_line_to_its_brace(self):
        code = "namespace a {\nint F(\n  int b) {\n  return b;\n}\n}\n"
        self.assertEqual(self.spans(code), [(2, 5)])

    def test_methods_in_classes_and_constructors_with_braces_are_seen(self):
        code = "class A {\n int F() {\n return 1;\n }\n};\nA::A() : b_{1}, c_(2) {\n x();\n}\n"
        self.assertEqual(self.spans(code), [(2, 4), (6, 8)])

    def test_braces_in_text_and_comments_do_not_count(self):
        self.assertEqual(self.spans('void F() {\n  g("}}}");  // }\n  h(\'}\');\n}\n'), [(1, 4)])

    def test_lambdas_and_tables_belong_to_their_function(self):
        code = ("void F() {\n  auto g = [&](int a) {\n    return a;\n  };\n"
                "  T t[] = {{1}, {2}};\n}\n")
        self.assertEqual(self.spans(code), [(1, 6)])

    def test_a_function_of_70_lines_passes_and_one_of_71_does_not(self):
        body = "void F() {\n" + "  g();\n" * 68 + "}\n"
        self.assertEqual(messages("gossip/a.cc", body), [])
        self.assertEqual(len(messages("gossip/a.cc", body.replace("{\n", "{\n  g();\n", 1))), 1)


class Headers(unittest.TestCase):
    def test_a_good_header_passes(self):
        self.assertEqual(messages("gossip/a.h", header("gossip/a.h", "int A();")), [])

    def test_a_header_without_words_or_with_a_wrong_guard_is_found(self):
        mute = header("gossip/a.h", "").replace("// What it is.\n", "")
        self.assertTrue(messages("gossip/a.h", mute))
        self.assertTrue(messages("gossip/a.h", header("gossip/b.h", "")))


class Includes(unittest.TestCase):
    def test_openssl_stays_in_its_files(self):
        line = "#include <openssl/evp.h>\n"
        self.assertEqual(messages("crypto/frame_codec.cc", line), [])
        self.assertTrue(messages("gossip/node.cc", line))
        self.assertTrue(messages("crypto/frame_codec.h", header("crypto/frame_codec.h", line)))
        path = "crypto/openssl_internal.h"
        self.assertEqual(messages(path, header(path, line)), [])

    def test_asio_and_protobuf_stay_out_of_headers(self):
        for name in ("boost/asio.hpp", "boost/beast/http.hpp", "google/protobuf/message.h"):
            line = f"#include <{name}>\n"
            self.assertEqual(messages("gossip/node.cc", line), [], name)
            self.assertTrue(messages("gossip/node.h", header("gossip/node.h", line)), name)

    def test_sql_stays_in_store(self):
        self.assertEqual(messages("store/sqlite_table.cc", "#include <sqlite3.h>\n"), [])
        self.assertTrue(messages("cmd/sottod/main.cc", "#include <sqlite3.h>\n"))


class Time(unittest.TestCase):
    def test_clocks_only_on_the_allowlist(self):
        line = "auto now = std::chrono::steady_clock::now();\n"
        self.assertEqual(messages("gossip/node_impl.cc", line), [])
        self.assertTrue(messages("gossip/probe.cc", line))
        self.assertTrue(messages("tests/sim/world.cc", line))

    def test_sleeps_only_on_the_allowlist(self):
        line = "std::this_thread::sleep_for(1s);\n"
        self.assertTrue(messages("gossip/node_impl.cc", line))
        self.assertTrue(messages("tests/gossip/probe_test.cc", line))
        self.assertEqual(messages("tests/e2e/join_test.cc", line), [])

    def test_a_loop_does_not_run_over_a_view_that_nobody_holds(self):
        bad = "  for (const MemberInfo& member : node->View()->members) {\n  }\n"
        good = "  for (const MemberInfo& member : view->members) use(node->View()->leader);\n"
        self.assertTrue(messages("cmd/a.cc", bad))
        self.assertTrue(messages("cmd/a.cc", bad.replace("node->", "(*node)->")))
        self.assertEqual(messages("cmd/a.cc", good), [])
        three = "  for (int i = 0; i < 3; ++i) use(sotto::A(), node->View()->leader);\n"
        self.assertEqual(messages("cmd/a.cc", three), [])

    def test_words_of_a_comment_are_free(self):
        text = "// steady_clock::now() is not read here\n"
        self.assertEqual(messages("gossip/probe.cc", text), [])


class Core(unittest.TestCase):
    def test_the_words_of_the_core(self):
        core = {"gossip/probe.cc"}
        for line in ("double a;", "std::unordered_map<int, int> m;",
                     "absl::flat_hash_map<int, int> m;", "std::mutex m;",
                     "std::atomic<int> a;", "printf(a);", "absl::BitGen g;"):
            self.assertTrue(messages("gossip/probe.cc", line + "\n", core=core), line)
            self.assertEqual(messages("gossip/node_impl.cc", line + "\n", core=core), [])

    def test_the_closure_follows_deps_and_names_third_parties(self):
        with tempfile.TemporaryDirectory() as root:
            for package, text in (
                    ("gossip", 'load("//tools:copts.bzl", "SOTTO_COPTS")\n'
                     'cc_library(name = "protocol", hdrs = ["protocol.h"], copts = SOTTO_COPTS,\n'
                     '           deps = [":time", "//gossip/base:check", "//tools/deps:absl"])\n'
                     'cc_library(name = "time", hdrs = ["time.h"])\n'
                     'cc_library(name = "node", deps = ["//tools/deps:asio"])\n'),
                    ("gossip/base", 'cc_library(name = "check", hdrs = ["check.h"])\n')):
                os.makedirs(os.path.join(root, package))
                path = os.path.join(root, package, "BUILD.bazel")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            files, outside = core_sources.core_closure(root)
            self.assertEqual(files, ["gossip/base/check.h", "gossip/protocol.h", "gossip/time.h"])
            self.assertEqual(outside, ["//tools/deps:absl"])


class Purity(unittest.TestCase):
    def check(self, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "gossip"))
            for name, body in (("gossip/a.cc", text), ("gossip/node.h", "#define NODE 1\n")):
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(body)
            return purity.check_file("g++", root, "gossip/a.cc", ["gossip/a.cc"])

    def test_plain_standard_headers_and_abseil_strings_pass(self):
        self.assertEqual(self.check("#include <memory>\n#include <functional>\n#include <map>\n"
                                    '#include "absl/strings/str_cat.h"\n'), [])

    def test_each_forbidden_header_is_found(self):
        for name in ("boost/asio.hpp", "openssl/evp.h", "google/protobuf/message.h", "chrono",
                     "thread", "mutex", "random", "unordered_map", "sys/socket.h",
                     "absl/time/time.h"):
            self.assertTrue(self.check(f"#include <{name}>\n"), name)

    def test_a_header_of_this_tree_outside_the_core_is_found(self):
        self.assertTrue(self.check('#include "gossip/node.h"\n'))

    def test_a_file_that_does_not_compile_is_an_error_and_no_pass(self):
        with self.assertRaises(purity.CompileError):
            self.check("#include <no_such_header.h>\n")


class Scripts(unittest.TestCase):
    TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def run_tool(self, *command):
        return subprocess.run(command, cwd=self.TOOLS, stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_setup_lists_its_packages_and_refuses_other_words(self):
        listed = self.run_tool("./setup", "--list")
        self.assertEqual(listed.returncode, 0)
        self.assertIn("bazel-bootstrap\n", listed.stdout)
        self.assertEqual(self.run_tool("./setup", "--what").returncode, 2)

    def test_format_finds_what_is_not_formatted_and_mends_it(self):
        with tempfile.TemporaryDirectory(dir=self.TOOLS) as folder:
            path = os.path.join(folder, "a.cc")
            with open(path, "w", encoding="utf-8") as file:
                file.write("int  A( ) {return 1;}\n")
            found = self.run_tool("./format", "--check", path)
            self.assertEqual(found.returncode, 1)
            self.assertIn("a.cc", found.stdout)
            self.assertEqual(self.run_tool("./format", path).returncode, 0)
            self.assertEqual(self.run_tool("./format", "--check", path).returncode, 0)

    def test_check_refuses_an_unknown_flag(self):
        self.assertEqual(self.run_tool("./check", "--fast").returncode, 2)


class Links(unittest.TestCase):
    def test_a_broken_link_is_found_and_code_is_not_read(self):
        exists = {"docs/a.md"}.__contains__
        good = "[a](a.md#x) [w](https://e.org)\n"
        self.assertEqual(messages("docs/b.md", good, exists=exists), [])
        self.assertTrue(messages("docs/b.md", "[c](c.md)\n", exists=exists))
        self.assertEqual(messages("docs/b.md", "```\n[c](c.md)\n```\n", exists=exists), [])


class Counts(unittest.TestCase):
    def test_cases_are_counted_by_result(self):
        report = ElementTree.fromstring(
            '<testsuites><testsuite><testcase name="a" status="run"/>'
            '<testcase name="b" status="run"><failure message="x"/></testcase>'
            '<testcase name="c" status="notrun"/>'
            '<testcase name="d" status="run"><skipped/></testcase></testsuite></testsuites>')
        self.assertEqual(count_tests.count_cases(report), (1, ["b"]))

    def test_a_target_that_failed_without_a_failing_case_counts_as_one(self):
        self.assertEqual(count_tests.settle(3, [], "TIMEOUT", "//a:b"), (3, ["//a:b (TIMEOUT)"]))
        self.assertEqual(count_tests.settle(3, ["x"], "FAILED", "//a:b"), (3, ["//a:b x"]))
        self.assertEqual(count_tests.settle(0, [], "PASSED", "//a:b"), (1, []))


if __name__ == "__main__":
    unittest.main()
