"""The doctor: what a machine lacks is found without suffering it, and said with its cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai_core.cli import machine
from edgeai_core.cli.machine import Finding, import_engine
from edgeai_core.cli.main import execute
from edgeai_core.state import State


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``engine`` that child processes find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "engine.py"


def test_an_engine_that_dies_of_an_illegal_instruction_is_reported_not_suffered(module: Path) -> None:
    module.write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    finding = import_engine("engine", "pip install engine")
    assert finding.status == "failed"
    assert "SIGILL (this processor lacks instructions" in finding.detail
    assert finding.remedy == "install a build for this processor"


def test_a_missing_libgl_names_the_debian_package_and_the_headless_wheel(module: Path) -> None:
    module.write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    finding = import_engine("engine", "pip install engine")
    assert finding.status == "failed"
    assert "libGL.so.1 is missing" in finding.detail
    assert "libgl1" in finding.remedy
    assert "opencv-python-headless" in finding.remedy


def test_an_optional_engine_that_is_not_there_is_a_note_with_the_way_to_get_it() -> None:
    assert import_engine("no_such_engine", "pip install it") == Finding(
        "no_such_engine", "note", "is not installed", "pip install it"
    )


def test_an_engine_that_works_tells_its_version(module: Path) -> None:
    module.write_text("__version__ = '1.2'\ndef get_available_providers(): return ['CPU']")
    assert import_engine("engine", "") == Finding("engine", "ok", "1.2 CPU")


def test_two_builds_of_one_library_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"opencv-python": "5.0", "opencv-python-headless": "5.0", "onnxruntime": "1.20"}
    monkeypatch.setattr(machine, "_version", both.get)
    opencv, onnxruntime = machine.rival_builds()
    assert opencv.status == "failed"
    assert "opencv-python and opencv-python-headless" in opencv.detail
    assert opencv.remedy.startswith("pip uninstall opencv-python opencv-python-headless")
    assert onnxruntime.status == "ok"


def test_a_state_folder_that_cannot_be_used_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (finding,) = machine.state_folder(State(tmp_path / "file"))
    assert finding.status == "failed"
    assert machine.state_folder(State(tmp_path / "fine"))[0].status == "ok"


def test_under_voltage_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.power(tmp_path / "none") == []
    alarm = tmp_path / "hwmon" / "hwmon0" / "in0_lcrit_alarm"
    alarm.parent.mkdir(parents=True)
    alarm.write_text("1\n")
    assert machine.power(tmp_path / "hwmon")[0].detail == "the board is under-voltage now"
    vcgencmd = tmp_path / "vcgencmd"
    vcgencmd.write_text("#!/bin/sh\necho throttled=0x50000\n")
    vcgencmd.chmod(0o755)
    assert machine.power()[0].detail == "the board was under-voltage since boot"


def test_small_shared_memory_and_slow_governors_are_told(tmp_path: Path) -> None:
    assert machine.shared_memory(tmp_path / "none")[0].status == "warning"
    governor = tmp_path / "cpu0" / "cpufreq" / "scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    assert "powersave" in machine.cpu(tmp_path)[0].detail
    assert "performance" in machine.cpu(tmp_path)[0].remedy


def test_a_check_that_fails_itself_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "engines", list)
    monkeypatch.setattr(machine, "clock", lambda: 1 / 0)
    findings = machine.examine(State(tmp_path))
    assert any(f.status == "warning" and "ZeroDivisionError" in f.detail for f in findings)


def test_the_doctor_ends_with_1_where_something_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [
        Finding("cv2", "failed", "libGL is missing", "apt install libgl1"),
        Finding("cpu", "ok", "2 cores"),
    ]
    monkeypatch.setattr(machine, "examine", lambda state: findings)
    assert execute(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "apt install libgl1" in out
    assert err == "edgeai: this machine cannot run everything: cv2\n"
    assert execute(["doctor", "--json"]) == 1
    assert [each["status"] for each in json.loads(capsys.readouterr().out)] == ["failed", "ok"]
    findings.pop(0)
    assert execute(["doctor"]) == 0
