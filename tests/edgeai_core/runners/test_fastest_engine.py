"""Which engine runs a model: the one that was measured fastest, and ONNX Runtime until then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.runners import auto
from edgeai_core.runners.auto import Answer, Candidate, find_fastest, recall
from edgeai_core.runners.model_file import read_model_file
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.preparing import being_prepared, preparing


def test_until_a_model_is_prepared_it_runs_on_onnx_runtime(toy: Any, tmp_path: Path) -> None:
    runner = open_runner(toy.write(), cache=tmp_path / "cache")
    assert runner.description.backend == "onnx"
    assert not (tmp_path / "cache").exists()  # nothing was measured, nothing is kept


def test_what_was_found_fastest_is_what_runs_until_the_model_changes(toy: Any, tmp_path: Path) -> None:
    path = toy.write_with_golden()
    answer = find_fastest(path, cache=tmp_path, seconds=0.05)
    assert answer.trials[0].candidate == "onnx"
    assert answer.trials[0].ratio == 1.0
    folder = tmp_path / "engines"
    assert recall(read_model_file(path), 1, folder) == answer
    assert recall(read_model_file(path), 2, folder) is None  # with other threads another may be fastest
    assert open_runner(path, cache=tmp_path).description.backend == answer.choice.backend
    kept = sorted(folder.glob("*.json"))
    open_runner(path, backend="auto", cache=tmp_path)
    assert sorted(folder.glob("*.json")) == kept  # it is not measured again
    toy.write(toy.bytes().replace(b"scaled", b"SCALED"))
    assert recall(read_model_file(path), 1, folder) is None


def test_an_answer_of_another_engine_is_followed_and_one_that_fails_gives_way(
    toy: Any, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    path = toy.write()
    file = read_model_file(path)
    place = auto._place(file, 1, tmp_path / "engines")
    place.parent.mkdir()
    for backend, wanted in (("openvino", "openvino"), ("litert", "onnx")):
        answer = Answer(Candidate(backend), ())
        place.write_text(json.dumps(answer.to_json()))
        assert open_runner(path, cache=tmp_path).description.backend == wanted
    for broken in (
        "",
        "{",
        '{"choice": {}}',
        '{"choice": {"backend": "onnx", "options": {"x": 1}}, "trials": []}',
    ):
        place.write_text(broken)
        assert open_runner(path, cache=tmp_path).description.backend == "onnx"


def test_an_engine_that_kills_its_process_is_out_and_the_others_are_measured(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    fake = tmp_path / "fake" / "openvino"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(fake.parent))
    answer = find_fastest(toy.write(), cache=tmp_path, seconds=0.05)
    (trial,) = [trial for trial in answer.trials if trial.candidate == "openvino"]
    assert trial.refused == "openvino ends its process with signal 4"
    assert answer.choice.backend == "onnx"


def test_who_prepares_a_model_is_seen_while_it_does(tmp_path: Path) -> None:
    assert being_prepared(tmp_path / "none") is None
    with preparing(tmp_path, "scores 1.0.0"):
        assert being_prepared(tmp_path) == "scores 1.0.0"
    assert being_prepared(tmp_path) is None
