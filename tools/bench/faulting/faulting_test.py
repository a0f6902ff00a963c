"""Tests of the faults' own parts: what is read off the logs, what counts, and the page."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from faulting import clusters, report  # noqa: E402


class FaultFigures(unittest.TestCase):
    NAMES = ["n1", "n2", "n3"]

    class Isolated:
        key, title, what, seconds = "isolated", "isolated", "alone", 60
        victim, sides, measures = 2, None, ["innocents", "victim", "dropped", "alone", "healed"]

    class Split:
        victim, sides = None, [[0], [1, 2]]

    def figures(self, fault, *said, healed=1.25):
        events = [clusters.Event(at, observer, kind, member) for at, observer, kind, member in said]
        return report.figures(fault, self.NAMES, events, 100.0, 160.0, healed)

    def test_the_lines_of_both_logs_are_read(self):
        serf, sotto = clusters.Serf("", []), clusters.Sotto("", [])
        for line, found in (
                ("2026/01/02 03:04:05 [INFO] serf: EventMemberJoin: n1 10.0.0.1", ("alive", "n1")),
                ("2026/01/02 03:04:05 [INFO] serf: EventMemberFailed: n1 10.0.0.1", ("dead", "n1")),
                ("2026/01/02 03:04:05 [INFO] memberlist: Suspect n1 has failed, no acks received",
                 ("suspected", "n1")),
                ("2026/01/02 03:04:05 [WARN] memberlist: Refuting a suspect message (from: n2)",
                 ("refuted", "")),
                ("2026/01/02 03:04:05 [INFO] agent: joined: 1 nodes", None)):
            self.assertEqual(serf.parse(line), found)
        for line, found in (
                ("2026-01-02T03:04:05.006Z info member_died member=n1 by=n2,n3", ("dead", "n1")),
                ("2026-01-02T03:04:05.006Z warn node_isolated member=n1", ("isolated", "n1")),
                ("2026-01-02T03:04:05.006Z info member_updated member=n1", None),
                ("2026-01-02T03:04:05.006Z info ready cluster=c node=n1", None)):
            self.assertEqual(sotto.parse(line), found)

    def test_who_may_be_called_dead_by_whom(self):
        run = self.figures(self.Isolated, (105.0, "n1", "dead", "n3"),
                           (107.04, "n2", "dead", "n3"), (120.0, "n3", "dead", "n1"),
                           (130.0, "n1", "dead", "n2"), (140.0, "n1", "alive", "n3"),
                           (161.0, "n2", "dead", "n1"))
        self.assertEqual(run["innocents"], 1)
        self.assertEqual((run["victim_dead"], run["victim_back"], run["by_victim"]), (2, 1, 1))
        self.assertEqual((run["dropped"], run["emptied"]), (7.0, None))

    def test_in_a_split_only_the_own_side_is_innocent(self):
        run = self.figures(self.Split, (101.0, "n1", "dead", "n2"), (102.0, "n1", "dead", "n3"),
                           (103.0, "n2", "dead", "n1"), (104.0, "n2", "dead", "n3"))
        self.assertEqual((run["innocents"], run["dropped"]), (1, None))
        run = self.figures(self.Split, (101.0, "n1", "dead", "n2"), (102.0, "n1", "dead", "n3"),
                           (103.0, "n2", "dead", "n1"), (104.5, "n3", "dead", "n1"))
        self.assertEqual((run["innocents"], run["dropped"]), (0, 4.5))

    def test_the_page_shows_every_run_and_what_was_not_run(self):
        run = self.figures(self.Isolated, (108.0, "n3", "isolated", "n3"))
        page = report.page([self.Isolated], {"isolated/sotto": [run, run]}, ["today"])
        self.assertIn("| isolated | not run | 8.0 (never) · 8.0 (never) |", page)
        self.assertIn("| isolated | not run | 1.2 · 1.2 |", page)


if __name__ == "__main__":
    unittest.main()
