"""The strip on paper: right to the millimetre, whole for any signal, kept for the alert that it is of."""

from __future__ import annotations

import math
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.config import HealthcareConfig
from apps.healthcare.ecg.decide import STRIP, Code, EcgOutput
from apps.healthcare.ecg.routes import strips_router
from apps.healthcare.ecg.strip import MAX_LEADS, MM_PER_S, Strip, StripLead, strip_svg
from apps.healthcare.ecg.strip_keeper import AFTER_S, BEFORE_S, StripKeeper, strip_of, strips_folder
from edgeai_core.alerts.alert import Alert
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.app import App
from edgeai_core.decision import Condition, Decision, Priority, Rule
from edgeai_core.http.services import MountedApp
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.state import State
from tests.edgeai_core.http.conftest import Running

RATE_HZ = 125.0
SVG = "{http://www.w3.org/2000/svg}"
STRIP_OF_TWO = Strip(
    leads=(
        StripLead("II", [1.0 if i == 250 else 0.0 for i in range(1250)]),
        StripLead("V1", [0.0] * 1250, off=True),
    ),
    rate_hz=RATE_HZ,
    from_s=100.0,
    beats=((102.0, "V"), (103.0, "N"), (104.0, "")),
    alert_s=107.0,
    title="Run of ventricular beats",
    patient="bed-4",
    when="2026-03-01T10:00:00.000Z",
)
RULES = {Code.PVC_RUN: Rule(clear_after_s=5.0)}


def drawn(strip: Strip) -> ET.Element:
    return ET.fromstring(strip_svg(strip))


def words(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def points(root: ET.Element) -> list[tuple[float, float]]:
    """The points of the first lead's trace: the longest path."""
    path = max((each.get("d", "") for each in root.iter(f"{SVG}path") if "L" in each.get("d", "")), key=len)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def test_a_millivolt_is_ten_millimetres_high_and_a_second_twenty_five_wide() -> None:
    trace = points(drawn(STRIP_OF_TWO))
    heights = [y for _, y in trace]
    peak = min(range(len(trace)), key=heights.__getitem__)
    assert heights[0] - heights[peak] == pytest.approx(10.0, abs=0.02)
    assert trace[peak][0] - trace[0][0] == pytest.approx(2.0 * MM_PER_S, abs=0.02)


def test_a_strip_says_whose_and_when_it_is_which_leads_and_that_it_is_simulated() -> None:
    said = words(drawn(STRIP_OF_TWO))
    assert "Run of ventricular beats" in said
    assert any("bed-4" in each and "2026-03-01" in each for each in said)
    assert {"II", "V1: lead off", "V", "N", "alert"} <= set(said)
    assert any("25 mm/s" in each and "10 mm/mV" in each for each in said)
    assert "SIMULATION" not in said
    assert "SIMULATION" in words(drawn(replace(STRIP_OF_TWO, simulated=True)))


def test_a_lead_too_high_for_its_lane_is_drawn_at_half_the_gain_and_says_so() -> None:
    large = replace(STRIP_OF_TWO, leads=(StripLead("II", [0.0] * 600 + [5.0] + [0.0] * 600),))
    root = drawn(large)
    heights = [y for _, y in points(root)]
    assert max(heights) - min(heights) == pytest.approx(25.0, abs=0.02)
    assert any("5 mm/mV" in each and "10 mm/mV" not in each for each in words(root))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4) | st.just(math.nan), max_size=40), min_size=0, max_size=MAX_LEADS + 2
    ),
    st.text(max_size=40),
)
def test_any_samples_and_any_name_give_a_document_that_can_be_read(
    leads: list[list[float]], name: str
) -> None:
    strip = replace(
        STRIP_OF_TWO, leads=tuple(StripLead(name, values) for values in leads), patient=name, title=name
    )
    drawn(strip)


# The keeper


def cycle(at_s: float, *codes: Code, first_index: int, now_ns: int) -> Cycle[EcgOutput]:
    live: dict[str, Any] = {
        "lead_names": ["II", "V1"],
        "rate_hz": RATE_HZ,
        "first_index": first_index,
        "samples_mv": [[0.1] * 125, [0.2] * 125],
        "lead_off": [False, False],
        "beats_s": [at_s - 0.5],
        "beat_classes": [[at_s - 0.5, "V"]],
        "simulated": True,
        "time_s": at_s,
    }
    conditions = tuple(Condition(code, "bed-4", Priority.MEDIUM, "Run", {"picture": STRIP}) for code in codes)
    decision = Decision(EcgOutput("bed-4", "NORMAL", time_s=at_s), conditions, {"ecg": live})
    snapshot = Snapshot(number=0, release_ns=now_ns, now_ns=now_ns, level=0, views={})
    return Cycle("ecg", snapshot, decision, now_ns, now_ns)


def seconds(now_ns: int, begins_s: int, lasts_s: int = 3, until_s: int = 20) -> list[Cycle[EcgOutput]]:
    """One cycle a second, with a run of ventricular beats for some of them."""
    return [
        cycle(
            float(at + 1),
            *((Code.PVC_RUN,) if begins_s <= at < begins_s + lasts_s else ()),
            first_index=at * 125,
            now_ns=now_ns + at * 1_000_000_000,
        )
        for at in range(until_s)
    ]


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.svg"))


def test_an_alert_has_the_strip_of_the_seconds_around_it(tmp_path: Path) -> None:
    keeper = StripKeeper(tmp_path, RULES)
    for each in seconds(time.monotonic_ns(), begins_s=9):
        keeper.put(each)
    keeper.close()
    (strip,) = kept(tmp_path)
    root = ET.fromstring(strip.read_text(encoding="utf-8"))
    assert "SIMULATION" in words(root)
    assert words(root).count("V") == BEFORE_S + AFTER_S
    trace = points(root)
    assert trace[-1][0] - trace[0][0] == pytest.approx((BEFORE_S + AFTER_S) * MM_PER_S, abs=0.5)


def test_what_comes_back_before_the_alert_is_over_is_no_new_strip(tmp_path: Path) -> None:
    keeper = StripKeeper(tmp_path, RULES)
    now_ns = time.monotonic_ns()
    for each in [*seconds(now_ns, 3, 2, 7), *seconds(now_ns, 8, 2, 20)[7:]]:
        keeper.put(each)
    keeper.close()
    assert len(kept(tmp_path)) == 1


def test_a_replay_keeps_nothing(tmp_path: Path) -> None:
    keeper = StripKeeper(tmp_path, RULES)
    for each in seconds(time.monotonic_ns() - 3600 * 10**9, begins_s=9):
        keeper.put(each)
    keeper.close()
    assert kept(tmp_path) == []


def test_the_oldest_strips_make_room_for_new_ones(tmp_path: Path) -> None:
    keeper = StripKeeper(tmp_path, {Code.PVC_RUN: Rule()}, budget_bytes=60_000)
    now_ns = time.monotonic_ns()
    for at, each in enumerate(seconds(now_ns, 0, 0, 60)):
        condition = Condition(Code.PVC_RUN, "bed-4", Priority.MEDIUM, "Run")
        holds = (condition,) if at % 6 == 5 else ()
        keeper.put(replace(each, decision=replace(each.decision, conditions=holds)))
    keeper.close()
    sizes = [path.stat().st_size for path in kept(tmp_path)]
    assert sizes
    assert sum(sizes) <= 60_000


def test_a_disk_that_cannot_be_written_costs_the_strip_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    keeper = StripKeeper(blocked, RULES)
    for each in seconds(time.monotonic_ns(), begins_s=9):
        keeper.put(each)
    keeper.close()
    assert keeper.dropped == 1


# Over HTTP


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    app = App(
        "healthcare", "Strips", HealthcareConfig, lambda config: (), router=lambda config: strips_router()
    )
    running = Running(tmp_path / "state", (MountedApp(app, HealthcareConfig()),))
    yield running
    running.stop()


def raised(state: State, *, strips: bool) -> Alert:
    """Let the journal's sink and the keeper see the same cycles; return the alert."""
    sink = AlertSink("healthcare", "ecg", RULES, state.journal)
    keeper = StripKeeper(strips_folder(state), RULES)
    for each in seconds(time.monotonic_ns(), begins_s=9):
        sink.put(each)
        if strips:
            keeper.put(each)
    keeper.close()
    sink.flush(10.0)
    sink.close()
    journal = Journal(state.journal)
    ((_, alert),) = journal.alerts()
    journal.close()
    return alert


def test_the_strip_of_an_alert_is_where_its_evidence_says(server: Running) -> None:
    alert = raised(server.state, strips=True)
    assert strip_of(strips_folder(server.state), alert) is not None
    path = str(alert.evidence["picture"]).replace("{alert}", alert.id)
    with server.client("viewer") as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "SIMULATION" in words(ET.fromstring(answer.text))


def test_an_alert_without_a_strip_and_one_that_never_was_are_not_found(server: Running) -> None:
    alert = raised(server.state, strips=False)
    with server.client("viewer") as client:
        assert client.get(f"/v1/healthcare/strips/{alert.id}").status_code == 404
        assert client.get(f"/v1/healthcare/strips/{'0' * 32}").status_code == 404
        assert client.get("/v1/healthcare/strips/..%2f..%2fetc").status_code in (404, 422)


def test_nobody_without_a_token_sees_a_strip(server: Running) -> None:
    with server.client(None) as client:
        assert client.get(f"/v1/healthcare/strips/{'0' * 32}").status_code == 401
