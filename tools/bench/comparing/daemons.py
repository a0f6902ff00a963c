"""serf against sottod as daemons: rest, events, kills, a partition and its healing."""

import os
import select
import shutil
import signal
import tempfile
import time

from comparing.common import Trouble, install, median
from comparing.network import Network
from comparing.peers import Serf, Sotto

PACKAGES = ["serf", "iproute2", "nftables"]
START_LIMIT_S = 60
DEATH_LIMIT_S = 90
EVENTS = 10

MEASURES = [
    ("join_s", "s", 1, "One runs, all others start at once: until each sees all"),
    ("rss_bytes_per_node", "MB", 1e-6, "Resident memory of a daemon (median)"),
    ("cpu_ms_per_node_s", "ms/s", 1, "CPU time of a resting daemon"),
    ("bytes_per_node_s", "B/s", 1, "Bytes on the wire of a resting daemon, headers included"),
    ("event_median_s", "s", 1, "A user event reaches a node (median)"),
    ("event_all_s", "s", 1, "A user event reaches all (median of ten)"),
    ("kill_first_s", "s", 1, "kill -9 is known to the first"),
    ("kill_all_s", "s", 1, "kill -9 is known to all"),
    ("split_all_s", "s", 1, "Split in halves: until each side sees only itself"),
    ("heal_all_s", "s", 1, "Healed: until all see all again"),
    ("false_deaths", "", 1, "Living, reachable members called dead"),
]


class Ears:
    """Listens to all daemons at once, and keeps what each has said of whom, with the time."""

    def __init__(self, peer):
        self.peer = peer
        self.sockets, self.buffers, self.notes = {}, {}, []
        everybody = {node.name for node in peer.nodes}
        self.here = {node.name: set(everybody) for node in peer.nodes}
        for node in peer.nodes:
            self.attach(node)

    def attach(self, node):
        self.detach(node)
        connection = self.peer.listen(node)
        self.sockets[node.name] = (connection, node)
        self.buffers[node.name] = bytearray()

    def detach(self, node):
        connection, _ = self.sockets.pop(node.name, (None, None))
        if connection is not None:
            connection.close()

    def poll(self, timeout):
        """Hears what comes within `timeout` seconds, or at once when something has come."""
        by_socket = {connection: node for connection, node in self.sockets.values()}
        ready, _, _ = select.select(list(by_socket), [], [], timeout)
        now = time.monotonic()
        for connection in ready:
            node = by_socket[connection]
            try:
                data = connection.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self.detach(node)
                continue
            self.buffers[node.name] += data
            for observer, kind, subject in self.peer.notes(node, self.buffers[node.name]):
                self.notes.append((now, observer, kind, subject))
                if kind == "gone":
                    self.here[observer].discard(subject)
                elif kind == "here":
                    self.here[observer].add(subject)

    def until(self, condition, limit):
        """Seconds until the condition holds; None when it does not within the limit."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > limit:
                return None
            self.poll(0.25)
        return time.monotonic() - begun

    def times(self, since, kind, subject):
        """When each observer first said it, in seconds after `since`."""
        found = {}
        for at, observer, what, whom in self.notes:
            if at >= since and what == kind and whom == subject:
                found.setdefault(observer, at - since)
        return list(found.values())

    def close(self):
        for connection, _ in self.sockets.values():
            connection.close()


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def start_all(peer):
    """The first, and once it is up all others at once; seconds from then until all see all."""
    peer.start(peer.nodes[0])
    begun = time.monotonic()
    while peer.living(peer.nodes[0]) != 1:
        peer.check()
        if time.monotonic() - begun > START_LIMIT_S:
            raise Trouble(f"{peer.kind}: the first daemon does not answer")
        time.sleep(0.02)
    for node in peer.nodes[1:]:
        peer.start(node)
    return wait_all_see_all(peer, START_LIMIT_S)


def wait_all_see_all(peer, limit):
    begun = time.monotonic()
    waiting = list(peer.nodes)
    while waiting:
        peer.check()
        if time.monotonic() - begun > limit:
            raise Trouble(f"{peer.kind}: {waiting[0].name} does not see all after {limit} s")
        waiting = [node for node in waiting if peer.living(node) != len(peer.nodes)]
        time.sleep(0.02)
    return time.monotonic() - begun


def at_rest(peer, rest_s):
    pids = [node.process.pid for node in peer.nodes]
    cpu = sum(map(cpu_seconds, pids))
    octets, begun = peer.network.bytes(), time.monotonic()
    time.sleep(rest_s)
    node_seconds = (time.monotonic() - begun) * len(pids)
    return {"cpu_ms_per_node_s": (sum(map(cpu_seconds, pids)) - cpu) * 1000 / node_seconds,
            "bytes_per_node_s": (peer.network.bytes() - octets) / node_seconds,
            "rss_bytes_per_node": median([resident_bytes(pid) for pid in pids])}


def events(peer, ears):
    if not peer.can_send():
        return {}
    each, last = [], []
    for i in range(EVENTS):
        name = f"compare-{i}"
        sender = peer.nodes[i % len(peer.nodes)]
        since = time.monotonic()
        peer.send(sender, name)
        ears.until(lambda: len(ears.times(since, "event", name)) == len(peer.nodes), 10)
        took = ears.times(since, "event", name)
        each += took
        last.append(max(took) if len(took) == len(peer.nodes) else None)
    return {"event_median_s": median(each), "event_all_s": median(last)}


def kills(peer, ears, count):
    first, last = [], []
    for i in range(count):
        victim = peer.nodes[-1 - i]
        others = [node for node in peer.nodes if node is not victim]
        since = time.monotonic()
        victim.stop(signal.SIGKILL)
        victim.wait()
        ears.detach(victim)
        ears.until(lambda: len(ears.times(since, "gone", victim.name)) == len(others),
                   DEATH_LIMIT_S)
        took = ears.times(since, "gone", victim.name)
        first.append(min(took, default=None))
        last.append(max(took) if len(took) == len(others) else None)
        peer.start(victim)
        wait_all_see_all(peer, START_LIMIT_S)
        ears.attach(victim)
        ears.poll(0.5)
        ears.here[victim.name] = {node.name for node in peer.nodes}
        for node in others:
            ears.here[node.name].add(victim.name)
    return {"kill_first_s": median(first), "kill_all_s": median(last)}


def split(peer, ears, limit):
    sides = [{n.name for n in peer.nodes if n.side == side} for side in (0, 1)]
    everybody = sides[0] | sides[1]
    own = {name: side for side in sides for name in side}
    peer.network.cut()
    apart = ears.until(lambda: all(here == own[name] for name, here in ears.here.items()), limit)
    peer.network.heal()
    healed = ears.until(lambda: all(here == everybody for here in ears.here.values()), limit)
    return {"split_all_s": apart, "heal_all_s": healed}


def measure(kind, nodes, programs, plan, say):
    folder = tempfile.mkdtemp(prefix="sotto-cmp.")
    network = peer = ears = None
    label = f"{kind}, {nodes} daemons"
    try:
        network = Network()
        say(f"{label}: start")
        peer = (Sotto(folder, network, nodes, programs) if kind == "sottod"
                else Serf(folder, network, nodes))
        join_s = start_all(peer)
        result = {"peer": kind, "nodes": nodes, "join_s": join_s}
        time.sleep(min(10, plan["rest_s"]))
        say(f"{label}: at rest for {plan['rest_s']} s")
        result.update(at_rest(peer, plan["rest_s"]))
        ears = Ears(peer)
        ears.poll(0.5)
        say(f"{label}: events")
        result.update(events(peer, ears))
        say(f"{label}: kills")
        begun = len(ears.notes)
        result.update(kills(peer, ears, plan["kills"]))
        victims = {node.name for node in peer.nodes[-plan["kills"]:]}
        result["false_deaths"] = sum(kind == "gone" and whom not in victims
                                     for _, _, kind, whom in ears.notes[begun:])
        say(f"{label}: split and healed")
        result.update(split(peer, ears, plan["split_limit_s"]))
        return result
    finally:
        if ears is not None:
            ears.close()
        if peer is not None:
            peer.stop_all()
        if network is not None:
            network.close()
        shutil.rmtree(folder, ignore_errors=True)


def compare(results, programs, plan, say):
    install(PACKAGES, say)
    for nodes in plan["daemons"]:
        for kind in ("sottod", "serf"):
            results.get(f"daemons-{kind}-{nodes}",
                        lambda kind=kind, nodes=nodes: measure(kind, nodes, programs, plan, say))
