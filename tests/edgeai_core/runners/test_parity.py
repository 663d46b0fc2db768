"""Parity: agreement is measured, disagreement is refused and placed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgeai_core.errors import ModelError
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.parity import check_parity, differences


def test_an_export_that_agrees_is_reported_with_its_worst_difference(toy: Any) -> None:
    report = check_parity(toy.reference, OnnxRunner(toy.write()), [toy.inputs(n, n) for n in (1, 5, 9)])
    assert report.samples == 3
    assert report.worst.keys() == {"score"}
    assert 0 <= report.worst["score"].tolerances <= 1


def test_one_wrong_element_is_named_with_its_sample_output_and_place(toy: Any) -> None:
    def reference(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        score = toy.reference(inputs)["score"]
        if len(score) == 5:
            score[3, 1] += 1
        return {"score": score}

    with pytest.raises(
        ModelError, match=r"scores 1\.0\.0 does not agree .*: sample 1, output score\[3, 1\] is"
    ):
        check_parity(reference, OnnxRunner(toy.write()), [toy.inputs(n, n) for n in (4, 5, 9)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_against_no_number_is_never_agreement(toy: Any, value: float) -> None:
    runner = OnnxRunner(toy.write())
    with pytest.raises(ModelError, match="does not agree"):
        check_parity(
            lambda inputs: {"score": toy.reference(inputs)["score"] * value}, runner, [toy.inputs(1)]
        )


def test_other_outputs_shapes_or_no_sample_are_refused(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    with pytest.raises(ModelError, match=r"outputs are \['score'\] where \['other'\] are wanted"):
        check_parity(lambda inputs: {"other": toy.reference(inputs)["score"]}, runner, [toy.inputs(1)])
    with pytest.raises(ModelError, match=r"score has shape \(2, 3\) where \(3, 2\)"):
        check_parity(lambda inputs: {"score": toy.reference(inputs)["score"].T}, runner, [toy.inputs(2)])
    with pytest.raises(ModelError, match="at least one sample"):
        check_parity(toy.reference, runner, [])


finite = arrays(np.float32, array_shapes(max_dims=2, max_side=4), elements=st.floats(-1e3, 1e3, width=32))


@settings(deadline=None)
@given(finite, st.data(), st.sampled_from([0.0, 1e-6, 0.5]), st.sampled_from([0.0, 1e-3]))
def test_agreement_is_numpys_allclose(
    wanted: np.ndarray, data: st.DataObject, atol: float, rtol: float
) -> None:
    got = wanted + data.draw(
        arrays(np.float32, wanted.shape, elements=st.sampled_from([0.0, 1e-6, 0.25, 2.0]))
    )
    (worst,) = differences({"y": got}, {"y": wanted}, atol, rtol, "here")
    assert (worst.tolerances <= 1) == np.allclose(
        got.astype(float), wanted.astype(float), rtol=rtol, atol=atol
    )
    assert worst.got == got[worst.index]
    assert worst.wanted == wanted[worst.index]


def test_the_same_nan_and_infinity_agree_and_empty_outputs_say_nothing() -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0])
    (worst,) = differences({"y": special}, {"y": special.copy()}, 0, 0, "here")
    assert worst.tolerances == 0
    (worst,) = differences({"y": special}, {"y": -special}, 1, 1, "here")
    assert worst.tolerances == np.inf
    assert differences({"y": np.zeros((0, 3))}, {"y": np.zeros((0, 3))}, 0, 0, "here") == []
