"""Versions learnt on a device: whole or not there, current by one rename, and back again byte by byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgeai_core.cli.main import execute
from edgeai_core.errors import ConfigError, ModelError
from edgeai_core.runners import store
from edgeai_core.runners.store import (
    SHIPPED,
    current_folder,
    current_name,
    install,
    next_name,
    rollback,
    versions,
)
from edgeai_core.state import State

TASK = "healthcare.ecg"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "own").create()


def writing(text: str) -> Callable[[Path], Mapping[str, object]]:
    def write(folder: Path) -> Mapping[str, object]:
        (folder / "model.onnx").write_text(text)
        (folder / "model.card.toml").write_text(f"card of {text}")
        return {"because": text}

    return write


def read(state: State) -> str:
    folder = current_folder(state, TASK)
    return SHIPPED if folder is None else (folder / "model.onnx").read_text()


def test_nothing_learnt_means_the_shipped_model(state: State) -> None:
    assert (current_folder(state, TASK), versions(state, TASK)) == (None, [])
    with pytest.raises(ConfigError, match="nothing before it"):
        rollback(state, TASK)


def test_versions_are_listed_and_rolled_back_byte_by_byte(state: State) -> None:
    for text in ("one", "two", "three"):
        install(state, TASK, next_name(state, TASK, "1.0.0"), writing(text))
    assert [version.name for version in versions(state, TASK)] == ["1.0.0+1", "1.0.0+2", "1.0.0+3"]
    assert [version.current for version in versions(state, TASK)] == [False, False, True]
    assert versions(state, TASK)[1].replaces == "1.0.0+1"
    assert versions(state, TASK)[2].why == {"because": "three"}
    assert read(state) == "three"
    assert (rollback(state, TASK), read(state)) == ("1.0.0+2", "two")
    assert (rollback(state, TASK), read(state)) == ("1.0.0+1", "one")
    assert (rollback(state, TASK), read(state)) == (SHIPPED, SHIPPED)
    assert (rollback(state, TASK, "1.0.0+3"), read(state)) == ("1.0.0+3", "three")
    assert (rollback(state, TASK, SHIPPED), read(state)) == (SHIPPED, SHIPPED)


def test_what_fails_while_it_is_written_leaves_the_old_one(state: State) -> None:
    install(state, TASK, "1+1", writing("one"))

    def fails(folder: Path) -> Mapping[str, object]:
        (folder / "model.onnx").write_text("half")
        raise ModelError("refused")

    with pytest.raises(ModelError, match="refused"):
        install(state, TASK, "1+2", fails)
    assert read(state) == "one"
    assert [version.name for version in versions(state, TASK)] == ["1+1"]
    assert not list((state.models / TASK).glob(".*.part"))


@pytest.mark.parametrize("where", ["replace", "symlink"])
def test_a_crash_between_write_and_rename_leaves_the_old_one(state: State, where: str) -> None:
    install(state, TASK, "1+1", writing("one"))
    program = f"""
import os
from pathlib import Path
from edgeai_core.runners import store
from edgeai_core.state import State

def write(folder):
    (folder / "model.onnx").write_text("two")
    return {{}}

def dies(self, target):
    os._exit(9)

if {where!r} == "replace":
    Path.replace = dies  # the folder is written, and not yet in its place
else:
    Path.symlink_to = dies  # the folder is in its place, and not yet current
store.install(State(Path({str(state.root)!r})), {TASK!r}, "1+2", write)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert read(state) == "one"
    install(state, TASK, next_name(state, TASK, "1"), writing("three"))
    assert read(state) == "three"
    assert not list((state.models / TASK).glob(".*.part"))


def test_a_damaged_version_is_refused_and_says_how_to_go_back(state: State) -> None:
    install(state, TASK, "1+1", writing("one"))
    install(state, TASK, "1+2", writing("two"))
    (state.models / TASK / "1+2" / "model.onnx").write_text("rotten")
    with pytest.raises(ModelError, match=r"is damaged.*edgeai model rollback healthcare\.ecg"):
        current_folder(state, TASK)
    rollback(state, TASK)
    assert read(state) == "one"
    with pytest.raises(ModelError, match="is damaged"):
        rollback(state, TASK, "1+2")
    assert read(state) == "one"


@pytest.mark.parametrize("name", ["../x", "current", "shipped", ".hidden", "a/b", ""])
def test_a_name_that_is_none_is_refused(state: State, name: str) -> None:
    with pytest.raises(ModelError, match="no name for a version"):
        install(state, TASK, name, writing("one"))


def test_a_name_that_is_taken_is_refused(state: State) -> None:
    install(state, TASK, "1+1", writing("one"))
    with pytest.raises(ModelError, match="there is a version of this name"):
        install(state, TASK, "1+1", writing("two"))
    assert read(state) == "one"


def test_a_pointer_out_of_the_store_is_refused(state: State) -> None:
    folder = state.models / TASK
    folder.mkdir()
    (folder / "current").symlink_to("../../elsewhere")
    with pytest.raises(ModelError, match="is no version"):
        current_name(state, TASK)


def test_links_and_folders_in_a_version_are_refused(state: State) -> None:
    def write(folder: Path) -> Mapping[str, object]:
        (folder / "model.onnx").symlink_to("/etc/hostname")
        return {}

    with pytest.raises(ModelError, match="plain files"):
        install(state, TASK, "1+1", write)


def test_two_commands_do_not_interleave(state: State) -> None:
    def write(folder: Path) -> Mapping[str, object]:
        with pytest.raises(ModelError, match="another command"):
            install(state, TASK, "1+2", writing("two"))
        return writing("one")(folder)

    install(state, TASK, "1+1", write)
    assert read(state) == "one"


def test_the_command_goes_back(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    install(state, TASK, "1+1", writing("one"))
    install(state, TASK, "1+2", writing("two"))
    assert execute(["model", "rollback", TASK, "--state", str(state.root)]) == 0
    assert "healthcare.ecg: 1+1 is current (on this device: 1+1, 1+2)" in capsys.readouterr().out
    assert execute(["model", "rollback", TASK, "--to", "7", "--state", str(state.root)]) == 2
    assert "there is no version '7'" in capsys.readouterr().err
    assert execute(["model", "rollback", "../x", "--state", str(state.root)]) == 2
    assert "is no task" in capsys.readouterr().err
    assert os.readlink(state.models / TASK / store.CURRENT) == "1+1"
