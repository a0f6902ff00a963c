"""Our cluster bench and the memberlist bench, in turn, each alone in a network namespace."""

import json
import os
import shutil

from comparing.common import Trouble, install, run

PACKAGES = ["golang-go", "golang-github-hashicorp-memberlist-dev"]

# (field, unit, factor, what it is)
MEASURES = [
    ("join_converge_s", "s", 1, "Everybody joins one contact at once: until each counts all"),
    ("join_cpu_s", "s", 1, "CPU time of that join, all nodes together"),
    ("steady_cpu_ms_per_node_s", "ms/s", 1, "CPU time of a resting node"),
    ("steady_bytes_per_node_s", "B/s", 1, "Bytes on the wire of a resting node, headers included"),
    ("steady_packets_per_node_s", "1/s", 1, "Packets of a resting node"),
    ("rss_bytes_per_node", "KB", 1e-3, "Resident memory for each node"),
    ("broadcast_p99_s", "s", 1, "A user message reaches 99 of 100 nodes"),
    ("crash_first_dead_median_s", "s", 1, "A crash is known to the first"),
    ("crash_all_dead_median_s", "s", 1, "A crash is known to all"),
    ("false_dead_events", "", 1, "Living members called dead"),
]


def build_memberlist(folder, source, say):
    """Our harness against Debian's memberlist; the path of the program."""
    install(PACKAGES, say)
    say("building the memberlist bench")
    binary = os.path.join(folder, "memberlist-bench")
    env = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="",
               GOCACHE=os.path.join(folder, "go-cache"))
    run(["go", "build", "-o", binary, os.path.join(source, "main.go")], 600, env=env)
    return binary


def alone(command):
    """The command in a network namespace of its own: nobody else's packets are counted."""
    if shutil.which("unshare") is None:
        raise Trouble("unshare is not installed (package util-linux)")
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    return ["unshare", *flags, "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", *command]


def measure(command, timeout):
    text = run(alone(command), timeout)
    try:
        return json.loads(text)
    except ValueError:
        raise Trouble(f"{command[0]} printed no JSON:\n{text[:500]}") from None


def compare(results, ours, theirs, plan, say):
    """Runs both in turn: sotto, memberlist, sotto, … at each size."""
    done, total = 0, 2 * plan["runs"] * len(plan["nodes"])
    for nodes in plan["nodes"]:
        for turn in range(plan["runs"]):
            for peer, binary in (("sotto", ours), ("memberlist", theirs)):
                done += 1
                dash = "--" if peer == "sotto" else "-"
                command = [binary, f"{dash}nodes", str(nodes), f"{dash}kill", str(plan["kill"]),
                           f"{dash}steady", f"{plan['steady_s']}s"]
                if peer == "sotto":
                    command.append("--json")
                say(f"in one process, {done} of {total}: {peer}, {nodes} nodes, run {turn + 1}")
                results.get(f"process-{peer}-{nodes}-{turn}",
                            lambda command=command: measure(command, 600))
