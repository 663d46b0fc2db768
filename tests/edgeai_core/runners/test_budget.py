"""The thread budget: what is stated, else what the device gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeai_core.errors import ConfigError
from edgeai_core.runners.budget import thread_budget

NO_QUOTA = Path("/nonexistent/cpu.max")


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which this process may run on eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        ("max 100000\n", 8),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("what\n", 8),
    ],
)
def test_a_containers_quota_limits_the_cores(tmp_path: Path, quota: str, threads: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert thread_budget({}, file) == threads


@pytest.mark.usefixtures("eight_cores")
def test_what_is_stated_is_taken_at_its_word() -> None:
    assert thread_budget({}, NO_QUOTA) == 8
    assert thread_budget({"EDGEAI_THREADS": " 3 "}, NO_QUOTA) == 3
    assert thread_budget({"EDGEAI_THREADS": ""}, NO_QUOTA) == 8


@pytest.mark.parametrize("stated", ["0", "-1", "two", "1.5", "10000", "²", "9" * 5000])
def test_a_statement_that_is_no_count_is_refused(stated: str) -> None:
    with pytest.raises(ConfigError, match="EDGEAI_THREADS"):
        thread_budget({"EDGEAI_THREADS": stated}, NO_QUOTA)
