"""Two network namespaces joined by one cable that can be cut: half of the daemons live in each.

Within a namespace packets go by its loopback, between them by the cable; both are counted. Needs
root. Everything is removed by close().
"""

import ctypes
import os
import socket
import subprocess
import threading

from comparing.common import Trouble, run

_CLONE_NEWNET = 0x40000000


class Network:
    def __init__(self):
        if os.geteuid() != 0:
            raise Trouble("daemons are compared in network namespaces, which takes root: "
                          "sudo tools/bench/compare, or --only memberlist")
        tag = f"sotto-cmp-{os.getpid()}"
        self.sides = [tag + "a", tag + "b"]
        self.cables = ["sottoa", "sottob"]
        try:
            self._make()
        except Trouble:
            self.close()
            raise

    def _make(self):
        for side in self.sides:
            run(["ip", "netns", "add", side])
            self.inside(side, ["ip", "link", "set", "lo", "up"])
        run(["ip", "-n", self.sides[0], "link", "add", self.cables[0], "type", "veth", "peer",
             "name", self.cables[1], "netns", self.sides[1]])
        for side, cable in zip(self.sides, self.cables):
            self.inside(side, ["ip", "link", "set", cable, "up"])

    def close(self):
        for side in self.sides:
            subprocess.run(["ip", "netns", "del", side], stderr=subprocess.DEVNULL, check=False)

    def inside(self, side, command):
        return run(["ip", "netns", "exec", side, *command])

    def add_node(self, index, nodes):
        """The side and address of one node; the first half lives on the first side."""
        side = 0 if index < nodes // 2 else 1
        address = f"10.77.{side + 1}.{index + 1}"
        self.inside(self.sides[side],
                    ["ip", "addr", "add", address + "/16", "dev", self.cables[side]])
        return side, address

    def cut(self):
        """Silently: packets vanish at both ends as they arrive. (Dropped as they leave, they would
        be refused to their sender, who then knows that its own side is at fault.)"""
        for side, cable in zip(self.sides, self.cables):
            self.inside(side, ["nft", "add", "table", "inet", "cut"])
            self.inside(side, ["nft", "add", "chain", "inet", "cut", "input",
                               "{ type filter hook input priority 0 ; }"])
            self.inside(side, ["nft", "add", "rule", "inet", "cut", "input", "iifname", cable,
                               "drop"])

    def heal(self):
        for side in self.sides:
            self.inside(side, ["nft", "delete", "table", "inet", "cut"])

    def bytes(self):
        """What all nodes have received so far: IP packets, on the cable with Ethernet's header."""
        total = 0
        for side in self.sides:
            for line in self.inside(side, ["cat", "/proc/net/dev"]).splitlines():
                name, _, counters = line.partition(":")
                if name.strip() == "lo" or name.strip() in self.cables:
                    total += int(counters.split()[0])
        return total

    def connect(self, side, address):
        """A TCP connection made inside a namespace, usable from here."""
        made = {}

        def work():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.sides[side]}", encoding="ascii") as place:
                if libc.setns(place.fileno(), _CLONE_NEWNET) != 0:
                    made["error"] = OSError(ctypes.get_errno(), "setns")
                    return
            try:
                made["socket"] = socket.create_connection(address, timeout=5)
            except OSError as error:
                made["error"] = error

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if "error" in made:
            raise made["error"]
        return made["socket"]
