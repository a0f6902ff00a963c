"""Tests of tools/install's parts: what is packed, and that a prefix changes whole or not at all.
"""

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from package import contents, prefix  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Contents(unittest.TestCase):
    def test_public_headers_reach_headers_of_ours_and_no_heavy_ones(self):
        for library in contents.LIBRARIES:
            for header in library.headers:
                done = subprocess.run(
                    ["g++", "-std=c++20", "-x", "c++", "-I.", f"-I{contents.FACE}", "-M",
                     f"{contents.FACE}/{header}"],
                    cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
                self.assertIsNone(
                    re.search(r"/(boost|openssl|google/protobuf)/|sqlite3\.h|\.pb\.h"
                              r"|\b(crypto|gossip|store)/\S*_internal\.h", done.stdout), header)
                self.assertIn("absl/status/status", done.stdout)

    def test_what_an_installed_header_includes_of_ours_is_installed_too(self):
        packed = {path for library in contents.LIBRARIES
                  for path in contents.headers(ROOT, library)}
        self.assertIn("gossip/node.h", packed)
        places = {contents.installed_header(path)[len("include/"):] for path in packed}
        for path in sorted(packed):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                text = contents.installed_text(file.read())
            for name in re.findall(r'#include "([^"]+)"', text):
                self.assertTrue(name in places or name.startswith("absl/"), f"{path}: {name}")

    def test_a_face_that_does_not_compile_is_an_error(self):
        broken = contents.LIBRARIES[0]._replace(headers=("sotto/nothing.h",))
        with self.assertRaisesRegex(contents.ContentsError, "nothing.h does not compile"):
            contents.headers(ROOT, broken)

    def test_includes_are_moved_below_sotto_and_no_others(self):
        self.assertEqual(contents.installed_text('#include "gossip/a.h"\n#include "absl/b.h"\n'
                                                 '// "gossip/a.h"\n#include <gossip/a.h>\n'),
                         '#include "sotto/gossip/a.h"\n#include "absl/b.h"\n'
                         '// "gossip/a.h"\n#include <gossip/a.h>\n')

    def test_every_library_that_the_build_links_with_must_be_listed(self):
        contents.check_links(["-Wl,--as-needed", "-labsl_status", "-lssl", "-lpthread"])
        with self.assertRaisesRegex(contents.ContentsError, "-lnew is linked with"):
            contents.check_links(["-lssl", "-lnew"])

    def test_asio_is_configured_as_the_library_was_built(self):
        with open(os.path.join(ROOT, "tools/deps/BUILD.bazel"), encoding="utf-8") as file:
            built = re.search(r'name = "asio",\s*defines = \[(.*?)\]', file.read(), re.S).group(1)
        self.assertEqual(re.findall(r'"(\w+)"', built), list(contents.DEFINES))

    def test_the_version_is_told_once(self):
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "gossip"))

            def write(dotted):
                with open(os.path.join(root, "gossip/version.h"), "w", encoding="utf-8") as file:
                    file.write("#define SOTTO_VERSION_MAJOR 1\n#define SOTTO_VERSION_MINOR 2\n"
                               f'#define SOTTO_VERSION_PATCH 3\n#define SOTTO_VERSION "{dotted}"\n')
            write("1.2.3")
            self.assertEqual(contents.version(root), (1, 2, 3))
            write("1.2.4")
            with self.assertRaisesRegex(contents.ContentsError, "SOTTO_VERSION is not 1.2.3"):
                contents.version(root)

    def test_cmake_takes_a_version_of_the_same_interface(self):
        for ours, asked, fits in (((0, 1, 2), "0.1", True), ((0, 1, 2), "0.1.3", False),
                                  ((0, 1, 2), "0.2", False), ((0, 2, 0), "0.1", False),
                                  ((1, 4, 0), "1.2", True), ((1, 4, 0), "2.0", False),
                                  ((1, 4, 0), "0.9", False), ((1, 4, 0), "", True)):
            self.assertEqual(self.cmake_accepts(ours, asked), fits, (ours, asked))

    def cmake_accepts(self, ours, asked):
        major, minor = (asked.split(".") + ["", ""])[:2]
        with tempfile.NamedTemporaryFile("w", suffix=".cmake", encoding="utf-8") as file:
            file.write(f'set(PACKAGE_FIND_VERSION "{asked}")\n'
                       f'set(PACKAGE_FIND_VERSION_MAJOR "{major}")\n'
                       f'set(PACKAGE_FIND_VERSION_MINOR "{minor}")\n'
                       f'{contents.cmake_version(ours)}'
                       'message("fits=${PACKAGE_VERSION_COMPATIBLE}")\n')
            file.flush()
            done = subprocess.run(["cmake", "-P", file.name], check=True, stderr=subprocess.PIPE,
                                  text=True)
        return "fits=TRUE" in done.stderr


def entries(**files):
    return [prefix.Entry(path.replace("__", "/"), data) for path, data in files.items()]


def tree(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


class Prefix(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sotto-prefix-")
        self.addCleanup(self.folder.cleanup)
        self.root = os.path.join(self.folder.name, "opt/sotto")

    def put(self, name, data):
        place = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(data)

    def assertRefused(self, code, call, *args):
        with self.assertRaises(prefix.PrefixError) as caught:
            call(*args)
        self.assertEqual(caught.exception.code, code)

    def test_twice_is_once_and_uninstalling_leaves_nothing(self):
        files = entries(bin__a=b"1", lib__deep__b=b"2")
        prefix.install(self.root, files, "1.0.0")
        once = tree(self.root)
        self.assertEqual(prefix.install(self.root, files, "1.0.0"), [])
        self.assertEqual(tree(self.root), once)
        self.assertEqual(once["lib/deep/b"], b"2")
        self.assertEqual(prefix.uninstall(self.root), (["bin/a", "lib/deep/b"], []))
        self.assertEqual(os.listdir(self.root), [])

    def test_modes_are_those_of_the_entries_whatever_the_umask(self):
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        prefix.install(self.root, [prefix.Entry("bin/a", b"1", 0o755), prefix.Entry("b", b"1")],
                       "1.0.0")
        self.assertEqual([os.stat(os.path.join(self.root, name)).st_mode & 0o777
                          for name in ("bin/a", "b", "bin", prefix.MANIFEST)],
                         [0o755, 0o644, 0o755, 0o644])

    def test_what_a_new_version_lacks_goes(self):
        prefix.install(self.root, entries(a=b"1", old__b=b"2"), "1.0.0")
        self.assertEqual(prefix.install(self.root, entries(a=b"3"), "2.0.0"), ["old/b"])
        self.assertEqual(sorted(tree(self.root)), ["a", prefix.MANIFEST])
        self.assertFalse(os.path.exists(os.path.join(self.root, "old")))

    def test_a_file_of_somebody_else_is_never_overwritten(self):
        self.put("bin/a", b"theirs")
        self.assertRefused("INSTALL_FOREIGN_FILE", prefix.install, self.root,
                           entries(lib__x=b"1", bin__a=b"2"), "1.0.0")
        self.assertEqual(tree(self.root), {"bin/a": b"theirs"})
        self.put("bin/a", b"2")  # the very same bytes are no conflict
        prefix.install(self.root, entries(bin__a=b"2"), "1.0.0")

    def test_a_failure_at_any_step_leaves_the_old_or_the_new(self):
        old, new = entries(a=b"1", b=b"1", gone=b"1"), entries(a=b"2", b=b"2", d__c=b"2")
        prefix.install(self.root, old, "1.0.0")
        before = tree(self.root)
        for k in range(100):
            left = [k]

            def fault():
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(28, "No space left on device", "x")
            try:
                prefix.install(self.root, new, "2.0.0", fault)
                break
            except prefix.PrefixError as error:
                self.assertEqual(error.code, "INSTALL_FAILED")
                self.assertEqual(tree(self.root), before, k)
        self.assertGreater(k, 5)
        self.assertEqual({path: data for path, data in tree(self.root).items()
                          if path != prefix.MANIFEST}, {"a": b"2", "b": b"2", "d/c": b"2"})

    def test_a_failure_in_a_new_prefix_leaves_no_folder(self):
        def fault():
            raise OSError(5, "Input/output error", "x")
        self.assertRefused("INSTALL_FAILED", prefix.install, self.root, entries(a__b=b"1"), "1",
                           fault)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_a_killed_run_is_completed_by_the_next(self):
        prefix.install(self.root, entries(a=b"1", gone=b"1"), "1.0.0")
        for k in range(1, 9):
            child = os.fork()
            if child == 0:
                left = [k]

                def fault():
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(9)
                prefix.install(self.root, entries(a=b"2", n__b=b"2"), "2.0.0", fault)
                os._exit(0)
            os.waitpid(child, 0)
            prefix.install(self.root, entries(a=b"2", n__b=b"2"), "2.0.0")
            self.assertEqual(sorted(tree(self.root)), ["a", "n/b", prefix.MANIFEST], k)
            prefix.install(self.root, entries(a=b"1", gone=b"1"), "1.0.0")

    def test_what_was_changed_since_stays(self):
        prefix.install(self.root, entries(a=b"1", b=b"1"), "1.0.0")
        self.put("a", b"mine now")
        self.assertEqual(prefix.uninstall(self.root), (["b"], ["a"]))
        self.assertEqual(tree(self.root), {"a": b"mine now"})

    def test_nothing_to_uninstall_is_said(self):
        self.assertRefused("INSTALL_NOT_HERE", prefix.uninstall, self.root)

    def test_a_manifest_that_leads_out_of_the_prefix_is_refused(self):
        for path in ("../x", "/etc/passwd", "a/../../x"):
            self.put(prefix.MANIFEST, b'{"files": {"%s": "0"}}' % path.encode())
            self.assertRefused("INSTALL_MANIFEST_BAD", prefix.uninstall, self.root)
        self.put(prefix.MANIFEST, b"[]")
        self.assertRefused("INSTALL_MANIFEST_BAD", prefix.install, self.root, entries(a=b""), "1")

    def test_two_at_once_are_refused(self):
        os.makedirs(self.root)
        handle = os.open(self.root, os.O_RDONLY)
        self.addCleanup(os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self.assertRefused("INSTALL_BUSY", prefix.install, self.root, entries(a=b"1"), "1")


if __name__ == "__main__":
    unittest.main()
