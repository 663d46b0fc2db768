"""The models that were learnt on this device: versions in ``models/<task>/<version>``, and which one is current.

A version is written beside the others and renamed into place whole; ``current`` is a symbolic link that is replaced
by a rename. So a crash at any moment leaves the version that was current, whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgeai_core.errors import ConfigError, ModelError
from edgeai_core.runners.card import read_limited
from edgeai_core.state import State

CURRENT = "current"
MANIFEST = "version.json"
SHIPPED = "shipped"
"""The name, where a version is asked for, of the model that the app ships: no version of this store is current."""

MAX_FILES = 64
MAX_FILE_BYTES = 1 << 30
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,99}\Z")
_TASK = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+\Z")


@dataclass(frozen=True)
class Version:
    """One version of a task's model on this device.

    ``replaces`` is the version that was current when it was installed, None where that was the shipped model.
    ``files`` are its files with their SHA-256; ``why`` says what the gate measured.
    """

    name: str
    folder: Path
    installed: str
    replaces: str | None
    files: Mapping[str, str]
    why: Mapping[str, object]
    current: bool = False


def versions(state: State, task: str) -> list[Version]:
    """Return what was learnt for a task on this device, oldest first. Folders without a manifest are none of ours."""
    folder = _folder(state, task)
    now = current_name(state, task)
    found = [
        _read(each, is_current=each.name == now)
        for each in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if _NAME.match(each.name) and not each.is_symlink() and (each / MANIFEST).is_file()
    ]
    return sorted(found, key=lambda version: (version.installed, version.name))


def current_name(state: State, task: str) -> str | None:
    """Return the name of the current version; None where the shipped model is in use. Raises ModelError."""
    pointer = _folder(state, task) / CURRENT
    try:
        name = os.readlink(pointer)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{pointer}: is no pointer to a version: {error.strerror}; remove it") from error
    if not _NAME.match(name):
        raise ModelError(f"{pointer}: points to {name!r}, which is no version; remove it")
    return name


def current_folder(state: State, task: str) -> Path | None:
    """Return the folder of the current version, its files checked against their digests; None: the shipped model.

    Raises ModelError where a file is missing or damaged, and says how to go back.
    """
    name = current_name(state, task)
    if name is None:
        return None
    folder = _folder(state, task) / name
    try:
        _check(_read(folder))
    except ModelError as error:
        raise ModelError(f"{error}; `edgeai model rollback {task}` goes back to the model before") from error
    return folder


def next_name(state: State, task: str, base: str) -> str:
    """Return a name for what was learnt on top of version ``base``: ``1.0.0+1``, then ``1.0.0+2`` and so on."""
    stem = base.partition("+")[0]
    taken = {version.name for version in versions(state, task)}
    number = 1
    while f"{stem}+{number}" in taken:
        number += 1
    return f"{stem}+{number}"


def install(state: State, task: str, name: str, write: Callable[[Path], Mapping[str, object]]) -> Version:
    """Make a new version current: ``write`` puts its files into the folder that it is given, and says why it may.

    Whatever raises or crashes before the end leaves the version that was current. Raises ModelError for a name that
    is taken or none, and for more or larger files than a version may hold.
    """
    folder = _folder(state, task)
    if not _NAME.match(name) or name in (CURRENT, SHIPPED):
        raise ModelError(f"{name!r} is no name for a version: letters, digits, dot, plus and minus")
    with _locked(folder):
        if (folder / name).exists():
            raise ModelError(f"{folder / name}: there is a version of this name; take another")
        for left in folder.glob(".*.part"):  # of an attempt that ended half way
            shutil.rmtree(left)
        partial = folder / f".{name}.part"
        partial.mkdir(mode=0o700)
        try:
            why = write(partial)
            version = _manifest(partial, name, current_name(state, task), why)
            partial.replace(folder / name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync(folder)
        _point(folder, name)
    return Version(**{**version.__dict__, "folder": folder / name, "current": True})


def rollback(state: State, task: str, to: str | None = None) -> str:
    """Make an earlier version current and return its name: ``to``, else the one that the current version replaced.

    ``SHIPPED`` is the model that the app ships. Raises ConfigError where there is nothing to go back to, ModelError
    where the version is damaged: then what is current stays.
    """
    folder = _folder(state, task)
    known = {version.name: version for version in versions(state, task)}
    now = current_name(state, task)
    if to is None and now is None:
        raise ConfigError(f"{task}: the shipped model is in use; there is nothing before it")
    if to is None:
        assert now is not None
        version = known.get(now)
        to = SHIPPED if version is None or version.replaces is None else version.replaces
    if to != SHIPPED and to not in known:
        there = ", ".join([*known, SHIPPED])
        raise ConfigError(f"{task}: there is no version {to!r} on this device (there are: {there})")
    with _locked(folder):
        if to == SHIPPED:
            (folder / CURRENT).unlink(missing_ok=True)
            _sync(folder)
        else:
            _check(known[to])
            _point(folder, to)
    return to


def _folder(state: State, task: str) -> Path:
    if not _TASK.match(task):
        raise ConfigError(f"{task!r} is no task; it is written as APP.TASK, as healthcare.ecg")
    return state.models / task


def _manifest(folder: Path, name: str, replaces: str | None, why: Mapping[str, object]) -> Version:
    """Write the manifest of a folder; it and every file are on the disk afterwards."""
    files = sorted(each for each in folder.iterdir() if each.is_file() and not each.is_symlink())
    if not files or len(files) > MAX_FILES or len(files) != len(list(folder.iterdir())):
        raise ModelError(f"{folder}: a version is made of 1 to {MAX_FILES} plain files")
    digests = {}
    for file in files:
        digests[file.name] = _digest(file)
        _sync(file)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    version = Version(name, folder, now, replaces, digests, dict(why))
    plain = {key: value for key, value in asdict(version).items() if key not in ("folder", "current")}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n")
    _sync(manifest)
    _sync(folder)
    return version


def _read(folder: Path, *, is_current: bool = False) -> Version:
    path = folder / MANIFEST
    try:
        said = json.loads(read_limited(path, 1 << 20, "manifest"))
        files = {str(name): str(digest) for name, digest in said["files"].items()}
        if said["name"] != folder.name or any(Path(name).name != name for name in files):
            raise ValueError("it speaks of another version")
        replaces = None if said["replaces"] is None else str(said["replaces"])
        return Version(
            folder.name, folder, str(said["installed"]), replaces, files, dict(said["why"]), is_current
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: is no manifest of a version ({error})") from error


def _check(version: Version) -> None:
    for name, digest in version.files.items():
        path = version.folder / name
        if _digest(path) != digest:
            raise ModelError(f"{path}: is damaged: its SHA-256 is not the one it was installed with")


def _digest(path: Path) -> str:
    return hashlib.sha256(read_limited(path, MAX_FILE_BYTES, "file of a model")).hexdigest()


def _point(folder: Path, name: str) -> None:
    """Replace the pointer in one step."""
    fresh = folder / f".{CURRENT}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    fresh.replace(folder / CURRENT)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the task's lock, so that two commands do not interleave. Raises ModelError where another holds it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise ModelError(f"{folder}: cannot be used: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"{folder}: another command changes this task's models; try again") from error
        yield
