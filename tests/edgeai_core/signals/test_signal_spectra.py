"""Powers in bands: the promises of edgeai_core.signals.spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.signals.spectra import band_powers


@given(amplitude=st.floats(0.01, 100), frequency=st.floats(5, 35), offset=st.floats(-100, 100))
@settings(max_examples=50, deadline=None)
def test_a_sine_has_half_its_squared_amplitude_in_its_band_whatever_the_offset(amplitude, frequency, offset):
    times_s = np.arange(1000) / 250
    samples = offset + amplitude * np.sin(2 * np.pi * frequency * times_s)[:, None]
    inside, outside = band_powers(samples, 250, [(3, 40), (40, 125)])[:, 0]
    assert inside == pytest.approx(amplitude**2 / 2, rel=0.02)
    assert outside < 0.02 * inside


def test_bands_that_touch_add_up_to_the_variance_of_noise():
    samples = np.random.default_rng(0).normal(0, 2, (100_000, 2))
    powers = band_powers(samples, 100, [(0, 10), (10, 30), (30, 51)])
    assert np.allclose(powers.sum(axis=0), 4, rtol=0.03)
    assert powers[1] == pytest.approx(2 * powers[0], rel=0.1)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="at least two"):
        band_powers(np.zeros((1, 1)), 100, [(0, 10)])
