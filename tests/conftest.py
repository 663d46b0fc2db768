"""What holds for every test: nothing leaves this machine, and nothing of the user's own state is touched."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Threads of libraries wait by spinning: beside other work two are many times slower than one. Counts until numpy and
# scikit-learn are imported.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _no_outside_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but loopback and Unix sockets."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test tried to reach {host}: tests stay on this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    folder = tmp_path / "state"
    monkeypatch.setenv("EDGEAI_STATE", str(folder))
    return folder


collect_ignore = ["toy"]  # a stranger's project: its own tests run in an environment of its own


@pytest.fixture
def install_vertical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Install a stranger's project for this process and those it starts, as ``pip install -e`` would."""
    installed: list[str] = []

    def install(project: Path) -> str:
        described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        name = str(described["name"])
        points = described["entry-points"]["edgeai.apps"]
        metadata = tmp_path / "site" / f"{name}-{described['version']}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {described['version']}\n"
        )
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        (metadata / "entry_points.txt").write_text(f"[edgeai.apps]\n{lines}")
        for folder in (metadata.parent, project):
            monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(metadata.parent), str(project)]))
        installed.append(f"apps.{name}")
        return name

    yield install
    for module in list(sys.modules):
        if any(module == each or module.startswith(each + ".") for each in installed):
            del sys.modules[module]


@pytest.fixture
def coldstore(install_vertical: Callable[[Path], str]) -> str:
    """The toy vertical of ``tests/toy``, installed."""
    return install_vertical(Path(__file__).parent / "toy")
