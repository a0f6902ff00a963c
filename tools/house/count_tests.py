"""Counts what a `bazel test` did, from its event file and the XML that each test wrote.

  count_tests.py EVENTS.json   prints "PASSED FAILED", then a line for each failure
"""

import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def count_cases(report):
    """(passed, names of the failed) of one test.xml."""
    passed, failed = 0, []
    for case in report.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(".".join(filter(None, [case.get("classname"), case.get("name")])))
        elif case.get("status", "run") == "run" and case.find("skipped") is None:
            passed += 1
    return passed, failed


def settle(passed, failed, status, label):
    """One target's counts: never fewer failures than its status admits, never nothing at all."""
    if status in ("PASSED", "FLAKY"):
        return max(passed, 1), [f"{label} {name}" for name in failed]
    return passed, [f"{label} {name}" for name in failed] or [f"{label} ({status})"]


def _path(uri):
    parsed = urllib.parse.urlparse(uri)
    return urllib.parse.unquote(parsed.path) if parsed.scheme == "file" else None


def count(events):
    """(passed, failures) of a whole build-event file, one JSON object a line."""
    reports, status, broken = {}, {}, []
    for line in events:
        event = json.loads(line)
        ident = event.get("id", {})
        if "testResult" in ident and "testResult" in event:
            for output in event["testResult"].get("testActionOutput", []):
                if output.get("name") == "test.xml" and output.get("uri"):
                    label = ident["testResult"]["label"]
                    reports.setdefault(label, []).append(_path(output["uri"]))
        if "testSummary" in ident and "testSummary" in event:
            status[ident["testSummary"]["label"]] = event["testSummary"].get("overallStatus", "?")
        if "targetCompleted" in ident and "aborted" not in event:
            if not event.get("completed", {}).get("success", False):
                broken.append(ident["targetCompleted"]["label"])
    total, failures = 0, []
    for label, result in sorted(status.items()):
        passed, failed = 0, []
        for path in set(reports.get(label, [])):
            if path and os.path.exists(path):
                try:
                    some_passed, some_failed = count_cases(ElementTree.parse(path).getroot())
                except ElementTree.ParseError:
                    continue
                passed, failed = passed + some_passed, failed + some_failed
        passed, failed = settle(passed, failed, result, label)
        total, failures = total + passed, failures + failed
    failures += [f"{label} (did not build)" for label in sorted(set(broken) - set(status))]
    return total, failures


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as file:
        passed, failures = count(file)
    print(passed, len(failures))
    for line in failures:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
