"""Hosts on one switch for measurements, each in a network namespace of its own (needs root).

Like tests/support/host_network.h, for programs that are not ours as well: the namespaces have no
names and go with the last process in them. Faults are nftables rules inside a host.
"""

import ctypes
import json
import os
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_us():
    """For preexec_fn: the kernel ends the child when the thread that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class HostNetwork:
    """Hosts 0 to count - 1 at 10.77.0.1 and up. Make and use it in one thread."""

    def __init__(self, count):
        self._holders = []
        self._arriving = [[] for _ in range(count)]
        self._leaving = [[] for _ in range(count)]
        self.count = count
        own = os.readlink("/proc/self/ns/net")
        for _ in range(count + 1):
            holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                      preexec_fn=die_with_us)
            self._holders.append(holder)
            while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
                if holder.poll() is not None:
                    raise OSError("cannot make a network namespace: this takes root")
                time.sleep(0.001)
        switch = self._holders[count].pid
        lines = ["link add name sw type bridge", "link set dev sw up"]
        for host in range(count):
            lines += [f"link add name port{host} type veth peer name eth0 "
                      f"netns {self._holders[host].pid}", f"link set dev port{host} master sw up"]
        self._run(switch, ["ip", "-batch", "-"], "\n".join(lines))
        for host in range(count):
            self._run(self._holders[host].pid, ["ip", "-batch", "-"],
                      f"link set dev lo up\naddr add {self.ip(host)}/24 dev eth0\n"
                      "link set dev eth0 up")

    def close(self):
        for holder in self._holders:
            holder.kill()
            holder.wait()

    @staticmethod
    def ip(host):
        return f"10.77.0.{host + 1}"

    def command(self, host, argv):
        """argv, to be run at `host`."""
        return ["nsenter", f"--net=/proc/{self._holders[host].pid}/ns/net", *argv]

    @staticmethod
    def _run(pid, argv, text=""):
        done = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *argv], input=text,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        if done.returncode != 0:
            raise OSError(f"{' '.join(argv)}: {done.stdout.strip()}\n{text}")
        return done.stdout

    def apply(self):
        """Brings the rules to all hosts, at once as far as that goes."""
        running = []
        for host in range(self.count):
            text = "flush ruleset\ntable ip faults {\n"
            for hook, rules in (("input", self._arriving[host]), ("output", self._leaving[host])):
                text += f"chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n"
                text += "".join(f"{rule} counter drop\n" for rule in rules) + "}\n"
            process = subprocess.Popen(self.command(host, ["nft", "-f", "-"]), text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
            running.append((process, text + "}\n"))
        for process, text in running:
            said, _ = process.communicate(text)
            if process.returncode != 0:
                raise OSError(f"nft: {said.strip()}\n{text}")

    # Faults add up until heal(), and hold from the next apply() on.

    def cut_one_way(self, sender, receiver):
        """Silently: what is sent does not arrive."""
        self._arriving[receiver].append(f"ip saddr {self.ip(sender)}")

    def partition(self, *groups):
        """Silently, both ways, between hosts of different groups."""
        for receiver in range(self.count):
            mine = next(group for group in groups if receiver in group)
            self._arriving[receiver] += [f"ip saddr {self.ip(sender)}"
                                         for sender in range(self.count) if sender not in mine]

    def lose_datagrams(self, percent):
        for host in range(self.count):
            self._arriving[host].append(
                f"iifname eth0 meta l4proto udp numgen random mod 100 < {percent}")

    def refuse_sends(self, host, protocols):
        """Sending fails at the sender, with EPERM. `protocols`: "udp" or "{ tcp, udp }"."""
        self._leaving[host].append(f"oifname eth0 meta l4proto {protocols}")

    def heal(self):
        for host in range(self.count):
            self._arriving[host].clear()
            self._leaving[host].clear()
        self.apply()

    def taken(self):
        """Packets that the faults have taken since the last heal, at all hosts together."""
        total = 0
        for host in range(self.count):
            listing = json.loads(self._run(self._holders[host].pid, ["nft", "-j", "list",
                                                                     "ruleset"]))
            for item in listing["nftables"]:
                for expression in item.get("rule", {}).get("expr", []):
                    total += expression.get("counter", {}).get("packets", 0)
        return total
