"""What coldstore promises."""

from __future__ import annotations

from pathlib import Path

from edgeai_core.testing import check_app, decisions, play

from apps.coldstore.app import app


def recording(folder: Path, *celsius: float) -> Path:
    """Write a recording: a temperature a second."""
    path = folder / "probe.txt"
    path.write_text("".join(f"{each * 1000:.0f}\n" for each in celsius))
    return path


def test_the_contracts_hold(tmp_path: Path) -> None:
    check_app(app, {"probe": recording(tmp_path, *range(60, 80))})


def test_an_alert_stands_while_it_is_too_warm_and_not_for_a_moment_of_warmth(tmp_path: Path) -> None:
    path = recording(tmp_path, *[20] * 5, 90, *[20] * 5, *[90] * 10, *[20] * 10)
    lines = list(decisions(play(app, app.config(), {"probe": str(path)})))
    standing = [line["time_s"] for line in lines if line.get("alerts")]
    assert standing == [14.0, 21.0]
    assert lines[-2]["alerts"] == []
