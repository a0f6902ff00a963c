"""Clusters of real daemons for measurements: serf's agents and sottod, started alike and watched
alike, by the lines of their logs and our own clock.

A cluster is given the way to run a command at a node (a network namespace, or nothing) and the
node's address, so that the same code serves hosts of their own and loopback.
"""

import base64
import os
import re
import shutil
import subprocess
import threading
import time

from faulting.hosts import die_with_us

READY_S_MAX = 40


class Event:
    """What `observer` said of `member` at `at` (time.monotonic()).

    kind: "alive" (also again), "dead", "left", "suspected" (by its own probe or on hearsay),
    "refuted" (it was accused itself, and answers), "isolated".
    """

    def __init__(self, at, observer, kind, member):
        self.at, self.observer, self.kind, self.member = at, observer, kind, member

    def __repr__(self):
        return f"{self.observer}: {self.member} {self.kind}"


class Cluster:
    """Nodes n1 to nN. Base of the two kinds; start() returns when all see all."""

    def __init__(self, folder, addresses, command=lambda node, argv: argv):
        self.folder, self.addresses, self.command = folder, addresses, command
        self.names = [f"n{i + 1}" for i in range(len(addresses))]
        self._processes, self._threads, self._events = {}, [], []
        self._lock = threading.Lock()

    def start(self):
        self.prepare()
        for node in range(len(self.names)):
            self.start_node(node)
        if not self.wait(lambda: self.all_see(self.names), READY_S_MAX):
            raise OSError(f"{type(self).__name__}: not all see all after {READY_S_MAX} s")

    def start_node(self, node):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("SOTTO_")}
        process = subprocess.Popen(self.command(node, self.argv(node)), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   errors="replace", env=environment, preexec_fn=die_with_us)
        self._processes[node] = process
        reader = threading.Thread(target=self._read, args=(node, process), daemon=True)
        reader.start()
        self._threads.append(reader)

    def _read(self, node, process):
        with open(os.path.join(self.folder, f"{self.names[node]}.log"), "a",
                  encoding="utf-8") as log:
            for line in process.stdout:
                now = time.monotonic()
                log.write(line)
                log.flush()
                found = self.parse(line)
                if found is None:
                    continue
                kind, member = found
                with self._lock:
                    self._events.append(Event(now, self.names[node], kind,
                                              member or self.names[node]))

    def pid(self, node):
        return self._processes[node].pid

    def kill(self, node):
        self._processes[node].kill()
        self._processes[node].wait()

    def close(self):
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        for reader in self._threads:
            reader.join()

    def events(self, since=0.0):
        with self._lock:
            return [event for event in self._events if event.at >= since]

    def alive_at(self, observer):
        """Whom `observer` holds alive, itself included, by what it has said."""
        alive = {observer}
        for event in self.events():
            if event.observer != observer:
                continue
            if event.kind == "alive":
                alive.add(event.member)
            elif event.kind in ("dead", "left"):
                alive.discard(event.member)
        return alive

    def all_see(self, members, observers=None):
        return all(self.alive_at(observer) == set(members) for observer in observers or members)

    @staticmethod
    def wait(condition, limit_s):
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


class Serf(Cluster):
    """Debian's serf, encrypted, with the profile that it has by itself (lan)."""

    title = "serf"
    _LINES = (
        (re.compile(r"serf: EventMemberJoin: (\S+) "), "alive"),
        (re.compile(r"serf: EventMemberFailed: (\S+) "), "dead"),
        (re.compile(r"serf: EventMemberLeave: (\S+) "), "left"),
        (re.compile(r"memberlist: Suspect (\S+) has failed"), "suspected"),
        (re.compile(r"memberlist: Refuting a (?:suspect|dead) message"), "refuted"),
    )

    def prepare(self):
        key = base64.b64encode(os.urandom(32)).decode()
        with open(os.path.join(self.folder, "serf.json"), "w", encoding="utf-8",
                  opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(f'{{"encrypt_key": "{key}"}}\n')

    def argv(self, node):
        address = self.addresses[node]
        argv = ["serf", "agent", "-node", self.names[node], "-bind", f"{address}:7946",
                "-rpc-addr", f"{address}:7373", "-config-file",
                os.path.join(self.folder, "serf.json"), "-profile", "lan", "-log-level", "debug",
                "-retry-interval", "1s"]
        return argv + [word for other in self.addresses[:2] if other != address
                       for word in ("-retry-join", f"{other}:7946")]

    def parse(self, line):
        for pattern, kind in self._LINES:
            match = pattern.search(line)
            if match:
                return kind, match.group(1) if pattern.groups else ""
        return None

    @staticmethod
    def version():
        done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "serf"], text=True,
                              stdout=subprocess.PIPE, check=False)
        return f"serf {done.stdout.strip() or 'of unknown version'} (Debian's package)"


class Sotto(Cluster):
    """sottod, with the profile that it has by itself (lan). `programs`: (sottod, sotto)."""

    title = "sotto"
    programs = ("sottod", "sotto")
    _LINE = re.compile(r"\b(member|node)_(\w+) member=(\S+)")
    _KINDS = {"member_joined": "alive", "member_returned": "alive", "member_died": "dead",
              "member_left": "left", "member_suspected": "suspected", "node_accused": "refuted",
              "node_isolated": "isolated"}

    def _sotto(self, *argv):
        done = subprocess.run([self.programs[1], *argv], cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise OSError(f"sotto {' '.join(argv)}: {done.stdout}")

    def prepare(self):
        self._sotto("certs", "ca", "create", "--cluster", "bench", "--dir", "ca")
        self._sotto("certs", "issue", *self.names, "--dir", "ca")
        self._sotto("keys", "generate", "--cluster", "bench", "--to", "cluster.key")
        for node, name in enumerate(self.names):
            pki = os.path.join(self.folder, name, "pki")
            os.makedirs(pki, 0o700)
            for source, target in (("ca.crt", "ca.crt"), (f"{name}.crt", "node.crt"),
                                   (f"{name}.key", "node.key")):
                shutil.copy2(os.path.join(self.folder, "ca", source), os.path.join(pki, target))
            join = [word for other in self.addresses[:2] if other != self.addresses[node]
                    for word in ("--join", f"{other}:7950")]
            self._sotto("--config", f"{name}/sottod.toml", "config", "init", "--cluster", "bench",
                        "--name", name, "--bind", f"{self.addresses[node]}:7950", *join,
                        "--state-dir", os.path.join(self.folder, name, "state"), "--socket",
                        os.path.join(self.folder, name, "run", "admin.sock"), "--create-store")
            self._sotto("--config", f"{name}/sottod.toml", "keys", "import", "--from",
                        "cluster.key")

    def argv(self, node):
        return [self.programs[0], "--config",
                os.path.join(self.folder, self.names[node], "sottod.toml"), "--set",
                "log.format=text"]

    def parse(self, line):
        match = self._LINE.search(line)
        if not match:
            return None
        kind = self._KINDS.get(f"{match.group(1)}_{match.group(2)}")
        return kind and (kind, match.group(3))

    @classmethod
    def version(cls):
        done = subprocess.run([cls.programs[1], "version"], text=True, stdout=subprocess.PIPE,
                              check=False)
        return done.stdout.split("\n")[0].strip()
