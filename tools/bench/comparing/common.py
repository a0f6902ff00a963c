"""What both halves of the comparison share: running programs, saying how far we are, and keeping
raw results so that an interrupted run goes on where it stopped."""

import json
import os
import shutil
import subprocess
import sys
import time


class Trouble(Exception):
    """Something the user can mend; its text says what and how."""


class Say:
    """Progress on standard error: one line that redraws on a terminal, else a line each time."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.begun = time.monotonic()

    def __call__(self, text):
        spent = int(time.monotonic() - self.begun)
        line = f"[{spent // 60:2d}:{spent % 60:02d}] {text}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\033[K" + line[:width], end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class Results:
    """One JSON file for each measurement in a folder; what is there already is not done again."""

    def __init__(self, folder, fresh):
        self.folder = folder
        self.fresh = fresh
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name + ".json")

    def get(self, name, measure):
        path = self.path(name)
        if not self.fresh and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        result = measure()
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1, sort_keys=True)
        os.replace(path + ".new", path)
        return result

    def load(self, prefix):
        """All results whose name begins so, by name."""
        found = {}
        for entry in sorted(os.listdir(self.folder)):
            if entry.startswith(prefix) and entry.endswith(".json"):
                with open(os.path.join(self.folder, entry), encoding="utf-8") as file:
                    found[entry[:-len(".json")]] = json.load(file)
        return found


def run(command, timeout=600, **kwargs):
    """A finished program's standard output; Trouble with its words if it failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout, check=False, **kwargs)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{command[0]} was not done in {timeout} s: {' '.join(command)}") from None
    except FileNotFoundError:
        raise Trouble(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise Trouble(f"{' '.join(command)}\n  exit {done.returncode}: {words}")
    return done.stdout


def median(values):
    """The lower median of what was measured; None where nothing was."""
    known = sorted(value for value in values if value is not None and value >= 0)
    return known[(len(known) - 1) // 2] if known else None


def install(packages, say):
    """Debian's packages that only the comparison needs."""
    query = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status} ${Package}\n", *packages],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                           check=False)
    have = {line.split()[1] for line in query.stdout.splitlines() if line.startswith("installed ")}
    missing = [package for package in packages if package not in have]
    if not missing:
        return
    if os.geteuid() != 0:
        raise Trouble("packages are missing, and this user may not install them:\n"
                      f"  sudo apt-get install -y --no-install-recommends {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # The daemon that a package may bring must not start by itself.
    guard = "/usr/sbin/policy-rc.d"
    guarded = not os.path.exists(guard)
    if guarded:
        with open(guard, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(guard, 0o755)
    try:
        subprocess.run(["apt-get", "-q", "update"], env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing], 900, env=env)
    finally:
        if guarded:
            os.remove(guard)


def machine():
    """What the figures were measured on, without its name."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) / 1024 / 1024
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1),
            "kernel": os.uname().release, "load_at_start": round(os.getloadavg()[0], 2),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}
