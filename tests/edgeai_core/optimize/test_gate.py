"""The gate: what is slower or answers otherwise is refused with its reason, and of the rest the best are kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeai_core.metrics.evaluation import Figure
from edgeai_core.optimize.gate import Faithfulness, Limits, Measured, compare, judge, pareto, relative_error
from edgeai_core.runners.card import ModelCard, TensorSpec

SOURCE = Measured("float32", "", 1000, 10.0, 1.0, Faithfulness(Figure.share(100, 100), 0.0))
GOOD = Measured("int8", "", 300, 5.0, 0.5, Faithfulness(Figure.share(99, 100), 0.05))
CARD = ModelCard(
    name="m", version="1", task="t", file="m.onnx", digest="0" * 64, licence="x", intended_use="y", limits=(),
    inputs=(TensorSpec("image", ("n", 3), "float32"),), outputs=(TensorSpec("logits", ("n", 3), "float32"),),
)  # fmt: skip


def test_smaller_faster_and_as_good_passes() -> None:
    assert judge(GOOD, SOURCE, Limits()).passed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ratio": 1.2}, "slower here: 1.20 times"),
        ({"size_bytes": 1000, "ratio": 1.0}, "neither smaller nor faster"),
        ({"faithfulness": Faithfulness(Figure.share(90, 100), 0.05)}, "same class for 90.0 % of 100"),
        ({"faithfulness": Faithfulness(None, 0.5)}, "off by 50.0 %"),
        ({"faithfulness": Faithfulness(None, float("nan"))}, "off by"),
        (
            {
                "faithfulness": Faithfulness(
                    Figure.share(98, 100), 0.05, Figure.share(80, 100), Figure.share(90, 100)
                )
            },
            "loses 10.0 points",
        ),
    ],
)
def test_what_is_refused_says_why(change: dict[str, object], reason: str) -> None:
    verdict = judge(dataclasses.replace(GOOD, **change), SOURCE, Limits())  # type: ignore[arg-type]
    assert not verdict.passed
    assert reason in "; ".join(verdict.reasons)


def test_the_front_keeps_what_nothing_beats_in_all() -> None:
    smaller = dataclasses.replace(GOOD, name="small", size_bytes=100, ratio=0.9)
    worse = dataclasses.replace(GOOD, name="worse", size_bytes=400, ratio=0.6)
    assert [each.name for each in pareto([SOURCE, GOOD, smaller, worse])] == ["float32", "int8", "small"]


def test_times_within_the_noise_of_each_other_count_as_one() -> None:
    slower = dataclasses.replace(GOOD, name="twin", ratio=0.505, size_bytes=299)
    assert "int8" not in [each.name for each in pareto([GOOD, slower])]


def test_agreement_is_of_the_class_called_and_accuracy_of_the_labels() -> None:
    wanted = [{"logits": np.array([[1.0, 0.0, 0.0]])}, {"logits": np.array([[0.0, 1.0, 0.0]])}]
    got = [{"logits": np.array([[0.9, 0.0, 0.1]])}, {"logits": np.array([[0.0, 0.4, 0.5]])}]
    found = compare(got, wanted, CARD, np.array([0, 2]))
    assert found.agreement is not None
    assert found.accuracy is not None
    assert found.source_accuracy is not None
    assert (found.agreement.value, found.accuracy.value, found.source_accuracy.value) == (0.5, 1.0, 0.5)


def test_what_is_not_a_number_is_infinitely_far_off() -> None:
    assert relative_error([{"a": np.array([np.nan])}], [{"a": np.array([1.0])}]) == float("inf")
    assert relative_error([{"a": np.zeros(2)}], [{"a": np.zeros(3)}]) == float("inf")
