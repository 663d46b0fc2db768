"""The state folder and the logs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_core.errors import ConfigError
from edgeai_core.log import set_up_logging
from edgeai_core.state import find_state


def test_the_state_is_where_the_flag_says_then_the_variable_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGEAI_STATE", raising=False)
    assert find_state().root == tmp_path / "home" / ".local" / "state" / "edgeai"
    monkeypatch.setenv("EDGEAI_STATE", str(tmp_path / "variable"))
    assert find_state().root == tmp_path / "variable"
    assert find_state(tmp_path / "flag").root == tmp_path / "flag"


def test_the_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    state = find_state(tmp_path / "state").create()
    assert state.root.stat().st_mode & 0o777 == 0o700
    assert state.run.stat().st_mode & 0o777 == 0o700
    assert state.create() == state


def test_a_state_that_cannot_be_made_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be used.*--state or EDGEAI_STATE"):
        find_state(tmp_path / "file").create()


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_restored")
def test_a_log_line_is_time_level_process_message_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("clinic.ecg")
    logging.getLogger("any").warning("source\nfailed", extra={"source": "lead II", "attempt": 3})
    time, rest = capsys.readouterr().err.rstrip("\n").split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'warning clinic.ecg source\\nfailed source="lead II" attempt=3'


@pytest.mark.usefixtures("_logging_restored")
def test_a_log_line_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("serve", as_json=True)
    logging.getLogger("any").error("no", extra={"pid": os.getpid()})
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["process"], entry["message"], entry["pid"]) == (
        "error",
        "serve",
        "no",
        os.getpid(),
    )
