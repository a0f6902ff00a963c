"""Puts files into a prefix, all of them or none, and takes them out again.

Each file is written beside its place and renamed into it; when anything fails, what was renamed is
put back. `share/sotto/manifest.json` says what is ours. A process that is killed leaves a mixture
that the next run completes: the manifest names old and new files before the first is renamed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from typing import NamedTuple

MANIFEST = "share/sotto/manifest.json"


class PrefixError(Exception):
    """Says what is wrong, and what to do about it."""

    def __init__(self, code, message, do):
        super().__init__(message)
        self.code, self.do = code, do


class Entry(NamedTuple):
    """One file: where it goes, below the prefix; its bytes; its mode."""
    path: str
    data: bytes
    mode: int = 0o644


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_manifest(root):
    """{path: digest} of what is installed below root."""
    raw = _read(os.path.join(root, MANIFEST))
    if raw is None:
        return {}
    try:
        files = json.loads(raw)["files"]
        if not all(isinstance(path, str) and not os.path.isabs(path) and
                   ".." not in path.split("/") for path in files):
            raise ValueError("a path that leads out of the prefix")
        return dict(files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PrefixError("INSTALL_MANIFEST_BAD", f"{root}/{MANIFEST} can't be read: {error}",
                          "remove it together with what it belonged to, then install again")


def _manifest(files, version):
    text = json.dumps({"version": version, "files": dict(sorted(files.items()))}, indent=1)
    return (text + "\n").encode()


@contextlib.contextmanager
def _locked(root):
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrefixError("INSTALL_BUSY", f"another installation is at work in {root}",
                              "wait for it") from None
        yield
    finally:
        os.close(handle)


def _make_folders(path):
    """Makes `path`; the folders that were missing, outermost first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    missing.reverse()
    for folder in missing:
        os.mkdir(folder, 0o755)
        os.chmod(folder, 0o755)
    return missing


def _beside(path, what):
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.sotto-{what}")


def _discard(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class _Change:
    """What has been done so far, and how to undo it."""

    def __init__(self, root, fault):
        self._root, self._fault = root, fault
        self._folders, self._staged, self._swapped = [], [], []

    def _place(self, path):
        return os.path.join(self._root, path)

    def stage(self, entry):
        self._fault()
        place = self._place(entry.path)
        self._folders += _make_folders(os.path.dirname(place))
        new = _beside(place, "new")
        _discard(new)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._staged.append(new)
        with os.fdopen(handle, "wb") as file:
            file.write(entry.data)
            file.flush()
            os.fchmod(handle, entry.mode)

    def _keep(self, place):
        old = _beside(place, "old")
        _discard(old)
        try:
            os.link(place, old)
        except FileNotFoundError:
            old = None
        self._swapped.append((place, old))

    def swap(self, path):
        self._fault()
        place = self._place(path)
        self._keep(place)
        os.replace(_beside(place, "new"), place)

    def remove(self, path):
        self._fault()
        place = self._place(path)
        self._keep(place)
        _discard(place)

    def undo(self):
        for place, old in reversed(self._swapped):
            if old:
                os.replace(old, place)
            else:
                _discard(place)
        for new in self._staged:
            _discard(new)
        for folder in reversed(self._folders):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def settle(self):
        for _, old in self._swapped:
            if old:
                _discard(old)


def _refuse_foreign(root, entries, mine):
    for entry in entries:
        place = os.path.join(root, entry.path)
        if entry.path in mine or not os.path.lexists(place):
            continue
        if os.path.isfile(place) and _read(place) == entry.data:
            continue
        raise PrefixError("INSTALL_FOREIGN_FILE",
                          f"{place} is there, and no installation of sotto put it there",
                          "move it away, or choose another --prefix")


def install(root, entries, version, fault=lambda: None):
    """Brings `root` to exactly `entries` and returns the paths of an older version that it removed.

    `fault` is called before each step; a test lets it raise. Raises PrefixError, and leaves root as
    it was.
    """
    try:
        made = _make_folders(root)
        with _locked(root):
            old = read_manifest(root)
            _refuse_foreign(root, entries, old)
            new = {entry.path: _digest(entry.data) for entry in entries}
            gone = [path for path in sorted(old) if path not in new]
            change = _Change(root, fault)
            try:
                both = Entry(MANIFEST, _manifest({**old, **new}, version))
                change.stage(both)
                for entry in entries:
                    change.stage(entry)
                change.swap(MANIFEST)
                for entry in entries:
                    change.swap(entry.path)
                for path in gone:
                    change.remove(path)
                # The last word; before it, a run that is killed is completed by the next.
                _rewrite(root, _manifest(new, version))
            except BaseException:
                change.undo()
                for folder in reversed(made):
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)
                raise
            change.settle()
            _remove_empty_folders(root, gone)
            return gone
    except OSError as error:
        raise PrefixError("INSTALL_FAILED", f"{error.filename or root}: {error.strerror}",
                          "nothing was changed; mend that and run it again") from error


def _rewrite(root, data):
    place = os.path.join(root, MANIFEST)
    new = _beside(place, "new")
    with open(new, "wb") as file:
        file.write(data)
    os.chmod(new, 0o644)
    os.replace(new, place)


def _remove_empty_folders(root, paths):
    folders = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder:
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(root, folder))


def uninstall(root):
    """Removes what the manifest names. Returns (removed, kept): kept were changed since."""
    try:
        if not os.path.isdir(root) or not (files := read_manifest(root)):
            raise PrefixError("INSTALL_NOT_HERE", f"{root} has no {MANIFEST}",
                              "give the --prefix (and --destdir) that it was installed with")
        removed, kept = [], []
        with _locked(root):
            for path, digest in sorted(files.items()):
                place = os.path.join(root, path)
                data = _read(place)
                if data is None:
                    continue
                if _digest(data) != digest:
                    kept.append(path)
                    continue
                os.unlink(place)
                removed.append(path)
            os.unlink(os.path.join(root, MANIFEST))
            _remove_empty_folders(root, [*files, MANIFEST])
        return removed, kept
    except OSError as error:
        raise PrefixError("INSTALL_FAILED", f"{error.filename or root}: {error.strerror}",
                          "mend that and run it again") from error
