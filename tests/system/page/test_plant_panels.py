"""The line's and the machine's panels in a real browser: what the loops publish is drawn, and said in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.manufacturing.config import InspectionConfig, LineConfig
from apps.manufacturing.inspection.loop import inspection_loop
from apps.manufacturing.maintenance.config import MaintenanceConfig
from apps.manufacturing.maintenance.loop import maintenance_loop
from edgeai_core.sensors.replay import replay
from tests.system.page.panels import publish, served_panels, shown

pytestmark = [pytest.mark.browser, pytest.mark.system]

FOLDER = Path(__file__).parents[3] / "apps" / "manufacturing" / "page"


@pytest.fixture
def address() -> Iterator[str]:
    with served_panels(FOLDER) as url:
        yield url


@pytest.fixture(scope="module")
def parts() -> list[Any]:
    """What the inspection loop shows of the first parts of a simulated line."""
    config = InspectionConfig(simulation=LineConfig(scenario="run_of_rejects", seed=7))
    return [c.decision.live["part"] for c in replay(inspection_loop(config), until_s=12.1) if c.decision.live]


@pytest.fixture(scope="module")
def machine() -> Any:
    """What the maintenance loop shows of a simulated machine after a while."""
    shown = [
        c.decision.live["machine"]
        for c in replay(maintenance_loop(MaintenanceConfig()), until_s=60.0)
        if c.decision.live
    ]
    return shown[-1]


def test_the_line_shows_parts_their_defects_and_the_yield(
    page: Any, address: str, parts: list[Any], tmp_path: Path
) -> None:
    shown(page, address, "line")
    assert "No parts yet" in page.text(".line-silent")
    bad = next(number for number, part in enumerate(parts) if part["verdict"] == "reject" and part["defects"])
    for part in parts[: bad + 1]:
        publish(page, "manufacturing.inspection/part", part)
    assert page.text(".line-verdict") == "Reject"
    assert page.text(".line-made") == "Simulated"
    assert parts[bad]["defects"][0]["kind"] in page.text(".line-defects")
    facts = page.text(".line-facts")
    tally = parts[bad]["tally"]
    assert f"{tally['rejected']} of {tally['passed'] + tally['rejected']}" in facts
    assert page.evaluate("document.querySelectorAll('.line-past li').length") == min(bad + 1, 12)
    words = page.evaluate("document.querySelector('canvas').getAttribute('aria-label')")
    assert words.startswith(f"Part {parts[bad]['number']}: Reject")
    page.until(f"{RED} > 20")
    page.picture(tmp_path / "line.png")
    assert page.errors == []


def test_the_heat_map_can_be_put_away(page: Any, address: str, parts: list[Any]) -> None:
    shown(page, address, "line")
    part = next(each for each in parts if each["verdict"] == "reject" and each["defects"])
    publish(page, "manufacturing.inspection/part", {**part, "defects": []})
    page.until(f"{RED} > 20")
    page.evaluate("document.querySelector('.line input').click()")
    page.until(f"{RED} === 0")
    assert page.errors == []


def test_the_line_says_how_long_no_part_has_come(page: Any, address: str, parts: list[Any]) -> None:
    shown(page, address, "line")
    publish(page, "manufacturing.inspection/part", parts[0])
    page.until("document.querySelector('.line-silent').innerText.startsWith('No part for')", within_s=25)
    assert page.errors == []


def test_the_machine_shows_health_life_and_spectra_with_the_bearings_lines(
    page: Any, address: str, machine: Any, tmp_path: Path
) -> None:
    shown(page, address, "machine")
    publish(page, "manufacturing.maintenance/machine", machine)
    page.until("document.querySelector('.machine').dataset.status !== undefined")
    facts = page.text(".machine-facts")
    assert machine["machine"] in facts
    assert f"zone {machine['zone']}" in facts
    assert "Simulated" in page.text(".machine-flags")
    said = page.evaluate("[...document.querySelectorAll('canvas')].map((c) => c.getAttribute('aria-label'))")
    assert said[0].startswith("Health")
    assert said[1].startswith("Velocity spectrum. Largest")
    for name, order in machine["lines"].items():
        assert f"{name} at {order}" in said[2]
    drawn = page.evaluate("[...document.querySelectorAll('canvas')].every((c) => c.width > 100)")
    assert drawn
    page.picture(tmp_path / "machine.png")
    assert page.errors == []


def test_a_machine_that_needs_maintenance_says_when_and_why(page: Any, address: str, machine: Any) -> None:
    shown(page, address, "machine")
    due = {
        **machine, "status": "MAINTENANCE_REQUIRED", "health_index": 0.12, "failure_probability": 0.87,
        "remaining": [20.0, 55.0, None], "remaining_unit": "h", "fault": "outer_race", "fault_probability": 0.9,
        "basis": "line BPFO", "troubles": ["axial: clipped"],
    }  # fmt: skip
    publish(page, "manufacturing.maintenance/machine", due)
    page.until("document.querySelector('.machine').dataset.status === 'MAINTENANCE_REQUIRED'")
    tiles = page.text(".machine-tiles")
    for words in (
        "0.12",
        "87 %",
        "55.0 h",
        "20.0 to no upper end h",
        "bearing, outer race",
        "90 %: line BPFO",
    ):
        assert words in tiles
    assert "axial: clipped" in page.text(".machine-flags")
    page.until("document.querySelector('.machine-silent').innerText.startsWith('No data for')")
    assert page.errors == []


def test_both_panels_fit_a_narrow_screen_in_the_dark(
    page: Any, address: str, parts: list[Any], machine: Any, tmp_path: Path
) -> None:
    page.size(380, 900)
    page.prefer(prefers_color_scheme="dark")
    for panel, topic, data in (
        ("line", "manufacturing.inspection/part", parts[0]),
        ("machine", "manufacturing.maintenance/machine", machine),
    ):
        shown(page, address, panel)
        publish(page, topic, data)
        assert page.evaluate("document.documentElement.scrollWidth <= 380")
        page.picture(tmp_path / f"{panel}_narrow.png")
    assert page.errors == []


RED = (
    "(() => { const c = document.querySelector('canvas');"
    " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
    " for (let i = 0; i < d.length; i += 4) n += d[i] > 90 && d[i] > 1.5 * d[i + 1]; return n; })()"
)
"""JavaScript that counts the red points of the canvas; the parts themselves are grey."""
