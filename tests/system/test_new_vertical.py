"""`edgeai new` and the tutorial: what is written works at once, and is what the tutorial shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_core.cli.main import execute

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy"


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=110,
    )


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".py", ".toml")
    }


def test_a_new_vertical_passes_its_tests_and_mypy_strict_at_once(
    tmp_path: Path, install_vertical: Callable[[Path], str]
) -> None:
    assert execute(["new", "brewery", "--dir", str(tmp_path / "brewery")]) == 0
    install_vertical(tmp_path / "brewery")
    tested = python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path / "brewery")
    assert tested.returncode == 0, tested.stdout
    typed = python("-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), folder=tmp_path / "brewery")
    assert typed.returncode == 0, typed.stdout
    linted = python("-m", "ruff", "check", ".", folder=tmp_path / "brewery")
    assert linted.returncode == 0, linted.stdout


def test_a_new_vertical_runs_replays_and_is_listed(
    tmp_path: Path, install_vertical: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["new", "brewery", "--dir", str(tmp_path / "brewery")]) == 0
    install_vertical(tmp_path / "brewery")
    recording = tmp_path / "tank.txt"
    recording.write_text("90000\n" * 6)
    capsys.readouterr()
    assert execute(["apps"]) == 0
    assert execute(["replay", "brewery", str(recording)]) == 0
    out = capsys.readouterr().out
    assert "loop brewery.probe" in out
    assert "RAISED TOO_WARM (Brewery, high)" in out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Brewery", "lower-case"),
        ("class", "cannot name"),
        ("../up", "cannot name"),
        ("healthcare", "is installed already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["new", name, "--dir", str(tmp_path / "x")]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_nothing_of_yours_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("precious")
    assert execute(["new", "brewery", "--dir", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert files(tmp_path) == {"mine.py": "precious"}


def test_the_toy_vertical_is_what_edgeai_new_writes(tmp_path: Path) -> None:
    assert execute(["new", "coldstore", "--dir", str(tmp_path / "coldstore")]) == 0
    assert files(tmp_path / "coldstore") == files(TOY)


def test_the_tutorials_code_is_the_toy_verticals() -> None:
    text = (ROOT / "docs" / "new_vertical.md").read_text()
    shown = dict(re.findall(r"^`([\w/.]+)`:?\n+```(?:python|toml)\n(.*?)^```$", text, flags=re.M | re.S))
    toy = files(TOY)
    assert set(shown) == set(toy)
    for name, code in shown.items():
        assert code == toy[name], f"{name} differs between docs/new_vertical.md and tests/toy"


def test_the_tutorials_commands_do_what_it_says(
    coldstore: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "new_vertical.md").read_text()
    recording, command, output = re.search(
        r"```sh\n(printf [^\n]+)\n(edgeai replay [^\n]+)\n```\n+```text\n(.*?)^```$", text, flags=re.M | re.S
    ).groups()  # type: ignore[union-attr]
    monkeypatch.chdir(tmp_path)
    subprocess.run(["sh", "-c", recording], check=True)
    done = python("-m", "edgeai_core.cli.main", *command.split()[1:], folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output
