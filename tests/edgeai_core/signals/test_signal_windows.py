"""Sliding windows: the promises of edgeai_core.signals.windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.signals.windows import SlidingWindow


@given(
    length=st.integers(1, 30),
    hop=st.integers(1, 50),
    sizes=st.lists(st.integers(0, 60), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_every_window_comes_once_whatever_the_chunks(length, hop, sizes):
    samples = np.arange(2 * sum(sizes), dtype=float).reshape(-1, 2)
    stream = SlidingWindow(length, hop, 2)
    found, at = [], 0
    for size in sizes:
        found += stream.push(samples[at : at + size])
        at += size
    starts = list(range(0, len(samples) - length + 1, hop))
    assert [window.start for window in found] == starts
    for window in found:
        assert np.array_equal(window.samples, samples[window.start : window.start + length])


def test_a_window_cannot_be_written_to():
    (window,) = SlidingWindow(3, 3).push(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="read-only"):
        window.samples[0] = 1


def test_a_window_survives_the_chunk_it_came_from():
    chunk = np.ones((4, 1))
    (window,) = SlidingWindow(4, 4).push(chunk)
    chunk[:] = 9
    assert window.samples.ravel().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(("length", "hop", "channels"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_window_without_extent_is_refused(length, hop, channels):
    with pytest.raises(InputError):
        SlidingWindow(length, hop, channels)


def test_the_wrong_number_of_channels_is_refused():
    with pytest.raises(InputError, match=r"\(n, 2\)"):
        SlidingWindow(3, 1, 2).push(np.zeros((5, 1)))
