"""Envelope spectra and orders: what repeats is found, whatever is louder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.signals.envelope import envelope_spectrum, prewhiten
from edgeai_core.signals.orders import order_spectrum, prominence
from edgeai_core.signals.spectra import velocity_spectrum

RATE_HZ = 10_000.0
ORDERS = np.arange(20, 1200) / 100.0


def impacts(every_s: float, size: float = 1.0) -> np.ndarray:
    """A second of decaying shocks under noise and a loud tone."""
    times = np.arange(int(RATE_HZ)) / RATE_HZ
    since = times % every_s
    shocks = 2 * size * np.exp(-since / 0.001) * np.sin(2 * np.pi * 3000 * since)
    noise = 0.2 * np.random.default_rng(0).standard_normal(len(times))
    return shocks + noise + 5 * np.sin(2 * np.pi * 50 * times)


@settings(max_examples=15, deadline=None)
@given(st.floats(70.0, 180.0))
def test_shocks_that_repeat_stand_out_at_their_rate_under_a_tone_that_is_louder(rate: float) -> None:
    frequencies, power = envelope_spectrum(impacts(1 / rate), RATE_HZ)
    shaft_hz = 25.0
    spectrum = order_spectrum(frequencies, power, shaft_hz, ORDERS)
    line, other = prominence(spectrum, ORDERS, (rate / shaft_hz, rate / shaft_hz + 0.5))
    assert line > 3.0
    assert other < line - 1.0


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_the_envelope_does_not_depend_on_how_loud_a_signal_is(gain: float) -> None:
    _, power = envelope_spectrum(impacts(0.01), RATE_HZ)
    _, louder = envelope_spectrum(gain * impacts(0.01), RATE_HZ)
    np.testing.assert_allclose(louder, power, rtol=1e-4, atol=1e-6 * power.max())


def test_a_constant_signal_has_an_empty_envelope_and_no_line() -> None:
    assert not prewhiten(np.full(1000, 3.0)).any()
    frequencies, power = envelope_spectrum(np.full(1000, 3.0), RATE_HZ)
    assert not power.any()
    assert np.isnan(prominence(order_spectrum(frequencies, power, 25.0, ORDERS), ORDERS, (3.0,))).all()


def test_a_line_beyond_the_spectrum_is_not_told() -> None:
    assert np.isnan(prominence(np.ones(len(ORDERS)), ORDERS, (40.0,))).all()


@pytest.mark.parametrize("samples", [np.array([1.0, np.nan] * 20), np.ones(4), np.ones((20, 2))])
def test_what_is_no_row_of_numbers_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(InputError, match="an envelope needs"):
        prewhiten(samples)


def test_a_shaft_that_stands_still_has_no_orders() -> None:
    with pytest.raises(InputError, match="has no orders"):
        order_spectrum(np.arange(3.0), np.arange(3.0), 0.0, ORDERS)


@settings(max_examples=20, deadline=None)
@given(st.floats(15.0, 900.0), st.floats(0.1, 50.0))
def test_a_shaking_of_known_velocity_has_that_velocity(frequency_hz: float, velocity_mm_s: float) -> None:
    times = np.arange(int(RATE_HZ)) / RATE_HZ
    peak = np.sqrt(2) * velocity_mm_s / 1000 * 2 * np.pi * frequency_hz
    frequencies, squares = velocity_spectrum((peak * np.sin(2 * np.pi * frequency_hz * times))[:, None], RATE_HZ)
    near = (frequencies >= 10) & (frequencies <= 1000)
    assert np.sqrt(squares[near].sum()) * 1000 == pytest.approx(velocity_mm_s, rel=0.02)
