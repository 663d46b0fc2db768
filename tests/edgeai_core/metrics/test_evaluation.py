"""Evaluations: what is printed is plain JSON, and says what the data cannot tell as null."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import wilson


def test_a_share_carries_wilsons_interval() -> None:
    figure = Figure.share(97, 100)
    assert (figure.value, figure.n, figure.unit) == (0.97, 100, "1")
    assert (figure.low, figure.high) == wilson(97, 100)


def test_a_share_of_nothing_has_no_value() -> None:
    assert Figure.share(0, 0) == Figure(None, None, None, 0)


def test_what_is_not_a_number_becomes_none() -> None:
    assert Figure.of(math.nan, (math.nan, 2.0), 3, "s") == Figure(None, None, 2.0, 3, "s")


@pytest.mark.parametrize(
    "numbers",
    [(math.nan, None, None, 1), (1.0, 2.0, 1.0, 1), (1.0, None, None, -1), (1.0, None, math.inf, 1)],
)
def test_a_figure_that_cannot_be_is_refused(numbers: tuple[float, float, float, int]) -> None:
    with pytest.raises(InputError):
        Figure(*numbers)


def test_an_evaluation_is_one_strict_json_object() -> None:
    evaluation = Evaluation(
        task="healthcare.ecg",
        model=ModelRef("rhythm", "1", None),
        data=(DataRef("made", "Apache-2.0", {"records": 2}),),
        figures={"sensitivity": Figure.share(9, 10, "pooled"), "delay_s": Figure.of(2.5, None, 4, "s")},
        rows=({"record": "a", "f1": np.float64(0.5), "n": np.int64(3), "delay_s": math.nan},),
    )
    plain = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert plain.keys() == {"task", "model", "data", "figures", "rows"}
    assert plain["model"] == {"name": "rhythm", "version": "1", "digest": None}
    assert plain["data"] == [{"name": "made", "licence": "Apache-2.0", "counts": {"records": 2}}]
    assert plain["figures"]["delay_s"] == {"value": 2.5, "low": None, "high": None, "n": 4, "unit": "s"}
    assert plain["figures"]["sensitivity"]["note"] == "pooled"
    assert plain["rows"] == [{"record": "a", "f1": 0.5, "n": 3, "delay_s": None}]


def test_measures_and_runners_load_no_heavy_library_before_it_is_used() -> None:
    modules = ["evaluation", "intervals", "curves", "calibration", "splits", "duplicates"]
    names = [f"edgeai_core.metrics.{module}" for module in modules] + ["edgeai_core.runners.onnx"]
    heavy = "{'scipy', 'sklearn', 'cv2', 'onnxruntime', 'pydantic', 'torch'}"
    code = f"import sys, {', '.join(names)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
