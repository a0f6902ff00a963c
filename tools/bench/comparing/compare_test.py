"""Tests of the comparison's own parts: what is read off the wire, and the page it writes."""

import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from comparing import chart, common, msgpack, page, peers  # noqa: E402


class Messages(unittest.TestCase):
    def unpack(self, data):
        at = 0

        def read(size):
            nonlocal at
            at += size
            return data[at - size:at]

        return msgpack.unpack(read), at

    def test_what_is_packed_comes_back(self):
        for value in (None, True, False, 0, 127, 70000, 2**40, "", "name", ["a", 1, None],
                      {"Command": "stream", "Seq": 7, "Body": {"Type": "user"}}):
            data = msgpack.pack(value)
            self.assertEqual(self.unpack(data), (value, len(data)))

    def test_short_forms_and_negative_numbers_are_read(self):
        self.assertEqual(self.unpack(b"\x82\xa1a\x05\xa1b\x93\xff\xd0\x80\xcd\x01\x00")[0],
                         {"a": 5, "b": [-1, -128, 256]})


class Streams(unittest.TestCase):
    def test_serf_says_who_is_gone_and_waits_for_the_rest(self):
        serf = peers.Serf.__new__(peers.Serf)
        node = peers.Daemon(0, 0, "10.77.1.1")
        whole = (msgpack.pack({"Seq": 1, "Error": ""})
                 + msgpack.pack({"Event": "member-failed", "Members": [{"Name": "n03"}]})
                 + msgpack.pack({"Seq": 1, "Error": ""})
                 + msgpack.pack({"Event": "user", "Name": "compare-1"}))
        buffer = bytearray(whole[:-4])
        self.assertEqual(list(serf.notes(node, buffer)), [("n01", "gone", "n03")])
        buffer += whole[-4:]
        self.assertEqual(list(serf.notes(node, buffer)), [("n01", "event", "compare-1")])
        self.assertEqual(buffer, b"")

    def test_sotto_says_who_is_gone_and_who_is_back(self):
        sotto = peers.Sotto.__new__(peers.Sotto)
        node = peers.Daemon(1, 0, "10.77.1.2")
        lines = b"".join(b"event: event\nid: 4\ndata: " + json.dumps(event).encode() + b"\n\n"
                         for event in ({"seq": 4, "event": "died", "member": "n03"},
                                       {"seq": 5, "event": "suspected", "member": "n04"},
                                       {"seq": 6, "event": "returned", "member": "n03"}))
        buffer = bytearray(lines + b"data: {\"seq\":")
        self.assertEqual(list(sotto.notes(node, buffer)),
                         [("n02", "gone", "n03"), ("n02", "here", "n03")])
        self.assertEqual(buffer, b"data: {\"seq\":")


class Page(unittest.TestCase):
    def results(self, folder):
        results = common.Results(folder, fresh=False)
        results.get("machine", common.machine)
        for peer, seconds in (("sotto", 1.5), ("memberlist", 3.0)):
            for run in range(3):
                results.get(f"process-{peer}-100-{run}",
                            lambda peer=peer, s=seconds, run=run: {
                                "peer": peer, "join_converge_s": s + run,
                                "broadcast_p99_s": None, "false_dead_events": 0})
        return results

    def test_a_row_has_both_medians_and_their_ratio(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "performance.md")
            page.write(path, self.results(os.path.join(folder, "raw")), quick=False)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertIn("| 100 | 2.5 s | 4 s | 0.625 × |", text)
            self.assertNotIn("A user message", text, "nobody has measured it")
            picture = os.path.join(folder, "performance", "process_join_converge_s.svg")
            ElementTree.parse(picture)

    def test_what_stands_outside_the_markers_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "performance.md")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"# Ours\n\nbefore\n{page.BEGIN}\nold\n{page.END}\nafter\n")
            page.write(path, self.results(os.path.join(folder, "raw")), quick=True)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertTrue(text.startswith("# Ours\n\nbefore\n" + page.BEGIN))
            self.assertTrue(text.endswith(page.END + "\nafter\n"))
            self.assertNotIn("old", text)

    def test_a_result_at_hand_is_not_measured_again(self):
        with tempfile.TemporaryDirectory() as folder:
            results = common.Results(folder, fresh=False)
            results.get("one", lambda: {"a": 1})
            self.assertEqual(results.get("one", self.fail), {"a": 1})

    def test_without_results_there_is_no_page(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(common.Trouble):
                page.write(os.path.join(folder, "page.md"), common.Results(folder, False), False)


class Charts(unittest.TestCase):
    def test_a_missing_figure_is_said_and_not_drawn_as_nothing(self):
        svg = chart.bar_chart("Title & more", "s", [("8 nodes", [(1.0, 0.5, 2.0), None])],
                              ["sotto", "serf"])
        words = [element.text for element in ElementTree.fromstring(svg).iter()
                 if element.tag.endswith("text")]
        self.assertIn("not reached", words)
        self.assertIn("Title & more", words)
        self.assertIn("seconds, lower is better", words)

    def test_numbers_are_short(self):
        self.assertEqual([chart.short(x) for x in (0, 0.1234, 1.204, 12.34, 207.3, None)],
                         ["0", "0.123", "1.2", "12.3", "207", "–"])


if __name__ == "__main__":
    unittest.main()
