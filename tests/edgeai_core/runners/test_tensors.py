"""The check of inputs at every call: what fitted before never lets pass what does not fit now."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.runners.card import TensorSpec
from edgeai_core.runners.tensors import InputCheck

SPECS = (TensorSpec("a", ("n", 2), "float32"), TensorSpec("b", ("n", "m"), "float32"))
FIXED = (TensorSpec("a", (1, 2), "float32"), TensorSpec("b", (1, 3), "float32"))

shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
calls = st.lists(
    st.fixed_dictionaries({"a": shapes, "b": shapes}, optional={"c": shapes})
    | st.fixed_dictionaries({"a": st.just((1, 2)), "b": st.just((1, 3))}),
    min_size=1,
    max_size=6,
)


@given(calls, st.sampled_from([SPECS, FIXED]), st.sampled_from(["float32", "float64"]))
def test_a_check_that_has_seen_other_calls_says_the_same_as_one_that_has_not(
    asked: list[dict[str, tuple[int, ...]]], specs: tuple[TensorSpec, ...], last: str
) -> None:
    used = InputCheck(specs)
    for number, call in enumerate(asked):
        dtype = last if number == len(asked) - 1 else "float32"
        inputs = {name: np.zeros(shape, dtype) for name, shape in call.items()}
        a, b = call["a"], call["b"]
        if specs is FIXED:
            fits = (a, b) == ((1, 2), (1, 3))
        else:
            fits = len(a) == len(b) == 2 and a[1] == 2 and a[0] == b[0]
        assert used.fits(inputs) is (fits and "c" not in call and dtype == "float32")
