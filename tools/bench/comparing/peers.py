"""sottod and serf behind one face: start, ask, listen, and send an event."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess

from comparing import msgpack
from comparing.common import Trouble, run


class Daemon:
    """One process with its place in the network."""

    def __init__(self, index, side, address):
        self.index, self.side, self.address = index, side, address
        self.name = f"n{index + 1:02d}"
        self.process = None

    def stop(self, how=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)

    def wait(self):
        if self.process is not None:
            self.process.wait()
            self.process = None


class Peer:
    """A cluster of one kind of daemon. What a listening socket says becomes notes:
    (observer, "gone" or "here", member) or (observer, "event", its name)."""

    def __init__(self, folder, network, nodes):
        self.folder, self.network = folder, network
        self.nodes = [Daemon(i, *network.add_node(i, nodes)) for i in range(nodes)]
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def path(self, node, name=""):
        return os.path.join(self.folder, node.name, name)

    def launch(self, node, command):
        # Kept open by the child alone.
        with open(self.path(node, "log"), "ab") as log:
            node.process = subprocess.Popen(
                ["ip", "netns", "exec", self.network.sides[node.side], *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop_all(self):
        for node in self.nodes:
            node.stop(signal.SIGKILL)
        for node in self.nodes:
            node.wait()

    def check(self):
        for node in self.nodes:
            if node.process is not None and node.process.poll() is not None:
                with open(self.path(node, "log"), encoding="utf-8", errors="replace") as log:
                    raise Trouble(f"{self.kind} {node.name} has ended by itself:\n"
                                  + log.read()[-1500:])


class Sotto(Peer):
    kind = "sottod"

    def __init__(self, folder, network, nodes, programs):
        super().__init__(folder, network, nodes)
        self.sottod = os.path.join(programs, "sottod", "sottod")
        self.sotto = os.path.join(programs, "sotto", "sotto")
        ca = os.path.join(folder, "ca")
        key = os.path.join(folder, "cluster.key")
        run([self.sotto, "certs", "ca", "create", "--cluster", "compare", "--dir", ca])
        run([self.sotto, "certs", "issue", *[n.name for n in self.nodes], "--dir", ca])
        run([self.sotto, "keys", "generate", "--cluster", "compare", "--to", key])
        for node in self.nodes:
            self._prepare(node, ca, key)

    def _prepare(self, node, ca, key):
        pki = self.path(node, "pki")
        os.makedirs(pki, mode=0o700)
        shutil.copy(os.path.join(ca, "ca.crt"), os.path.join(pki, "ca.crt"))
        for kind in ("crt", "key"):
            shutil.copy(os.path.join(ca, f"{node.name}.{kind}"), os.path.join(pki, f"node.{kind}"))
        config = self.path(node, "sottod.toml")
        joins = [word for other in self.nodes[:2] for word in ("--join", other.address + ":7950")]
        run([self.sotto, "--config", config, "config", "init", "--cluster", "compare", "--name",
             node.name, "--bind", node.address + ":7950", *joins, "--state-dir",
             self.path(node, "state"), "--socket", self.path(node, "run/admin.sock"),
             "--create-store"])
        run([self.sotto, "--config", config, "keys", "import", "--from", key])

    def start(self, node):
        self.launch(node, [self.sottod, "--config", self.path(node, "sottod.toml")])

    def _connect(self, node):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(self.path(node, "run/admin.sock"))
        return connection

    def _call(self, node, method, path, body=None):
        text = json.dumps(body) if body is not None else ""
        with self._connect(node) as connection:
            connection.sendall((f"{method} {path} HTTP/1.1\r\nHost: sotto\r\nConnection: close\r\n"
                                f"Content-Type: application/json\r\n"
                                f"Content-Length: {len(text)}\r\n\r\n{text}").encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        head, _, payload = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(payload or b"{}")

    def living(self, node):
        try:
            code, answer = self._call(node, "GET", "/v1/members")
        except OSError:
            return 0
        members = answer.get("data", []) if code == 200 else []
        return sum(member["state"] == "alive" for member in members)

    def listen(self, node):
        connection = self._connect(node)
        connection.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: sotto\r\n\r\n")
        connection.setblocking(False)
        return connection

    KINDS = {"died": "gone", "left": "gone", "joined": "here", "returned": "here"}

    def notes(self, node, buffer):
        """Takes whole lines off `buffer`."""
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end]).strip()
            del buffer[:end + 1]
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            if "event" not in event:
                continue  # the snapshot
            if event["event"] in self.KINDS:
                yield node.name, self.KINDS[event["event"]], event["member"]
            elif event["event"] == "user_event":
                yield node.name, "event", event["name"]

    def can_send(self):
        code, _ = self._call(self.nodes[0], "POST", "/v1/event", {})
        return code not in (404, 405)

    def send(self, node, name):
        body = {"name": name, "payload": "", "coalesce": False}
        code, answer = self._call(node, "POST", "/v1/event", body)
        if code >= 300:
            raise Trouble(f"an event was refused: {answer}")


class Serf(Peer):
    kind = "serf"

    def __init__(self, folder, network, nodes):
        super().__init__(folder, network, nodes)
        self.key = base64.b64encode(bytes(range(7, 39))).decode()
        for node in self.nodes:
            os.makedirs(self.path(node), mode=0o700)

    @staticmethod
    def _port(node):
        return 7400 + node.index

    def start(self, node):
        join = [] if node.index == 0 else [f"-join={self.nodes[0].address}:7946"]
        self.launch(node, ["serf", "agent", f"-node={node.name}", f"-bind={node.address}:7946",
                           f"-rpc-addr=127.0.0.1:{self._port(node)}", f"-encrypt={self.key}",
                           "-profile=lan", *join])

    def _connect(self, node):
        connection = self.network.connect(node.side, ("127.0.0.1", self._port(node)))
        self._say(connection, 0, "handshake", {"Version": 1})
        self._answer(connection)
        return connection

    @staticmethod
    def _say(connection, seq, command, body=None):
        text = msgpack.pack({"Command": command, "Seq": seq})
        connection.sendall(text + (msgpack.pack(body) if body is not None else b""))

    @staticmethod
    def _answer(connection, body=False):
        def read(size):
            data = b""
            while len(data) < size:
                piece = connection.recv(size - len(data))
                if not piece:
                    raise Trouble("serf closed its RPC connection")
                data += piece
            return data

        header = msgpack.unpack(read)
        if header.get("Error"):
            raise Trouble(f"serf's RPC: {header['Error']}")
        return msgpack.unpack(read) if body else None

    def living(self, node):
        try:
            with self._connect(node) as connection:
                self._say(connection, 1, "members")
                answer = self._answer(connection, body=True)
        except OSError:
            return 0
        return sum(member["Status"] == "alive" for member in answer["Members"])

    def listen(self, node):
        connection = self._connect(node)
        self._say(connection, 1, "stream",
                  {"Type": "member-join,member-leave,member-failed,user"})
        self._answer(connection)
        connection.setblocking(False)
        return connection

    KINDS = {"member-failed": "gone", "member-leave": "gone", "member-join": "here"}

    def notes(self, node, buffer):
        while buffer:
            taken = 0

            def read(size):
                nonlocal taken
                if taken + size > len(buffer):
                    raise BlockingIOError
                taken += size
                return bytes(buffer[taken - size:taken])

            try:
                msgpack.unpack(read)
                event = msgpack.unpack(read)
            except BlockingIOError:
                return  # the rest is still on its way
            del buffer[:taken]
            if event["Event"] == "user":
                yield node.name, "event", event["Name"]
            for member in event.get("Members") or []:
                if event["Event"] in self.KINDS:
                    yield node.name, self.KINDS[event["Event"]], member["Name"]

    @staticmethod
    def can_send():
        return True

    def send(self, node, name):
        with self._connect(node) as connection:
            self._say(connection, 1, "event", {"Name": name, "Payload": "", "Coalesce": False})
            self._answer(connection)
