"""How the loops stand: statistics, readiness, metrics, and the models they use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.app import App
from edgeai_core.decision import Decision
from edgeai_core.http.services import MountedApp
from edgeai_core.http.watch import LoopWatch
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, LoopSpec
from edgeai_core.loop.statistics import LoopStatistics
from edgeai_core.runners.card import ModelCard, TensorSpec, write_card
from edgeai_core.runners.preparing import preparing


def spec(rate_hz: float = 10.0) -> LoopSpec[None]:
    return LoopSpec("ecg", Every(rate_hz), (), _never, 0.1, Decision(None))


def _never() -> Any:
    raise AssertionError("the server builds no loop")


def cycle(number: int) -> Cycle[None]:
    at_ns = number * 100_000_000
    return Cycle(
        "ecg", Snapshot(number, at_ns, at_ns, 0, {}), Decision(None), at_ns + 50_000, at_ns + 2_000_000
    )


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics(tmp_path: Path) -> Iterator[LoopStatistics]:
    kept = LoopStatistics(spec(), "healthcare", tmp_path / "run" / "healthcare.ecg.stats")
    yield kept
    kept.close()


def watch_of(folder: Path, clock: Clock, *expected: str) -> LoopWatch:
    return LoopWatch(folder / "run", expected, 5.0, clock)


def test_a_loop_that_makes_progress_is_ready_and_one_that_stops_is_not(
    tmp_path: Path, clock: Clock, statistics: LoopStatistics
) -> None:
    watch = watch_of(tmp_path, clock, "healthcare.ecg")
    for number in range(3):
        statistics.note_cycle(cycle(number), 0, 0)
        watch.look()
        clock.now_s += 4.0
        assert watch.unready() == {}
    clock.now_s += 1.5
    watch.look()
    assert watch.unready() == {"healthcare.ecg": "it has made no progress for 6 s"}
    statistics.note_idle()
    watch.look()
    assert watch.unready() == {}


def test_a_loop_that_is_expected_and_not_there_is_named(tmp_path: Path, clock: Clock) -> None:
    watch = watch_of(tmp_path, clock, "healthcare.ecg")
    watch.look()
    assert watch.unready() == {"healthcare.ecg": "it has not started"}


def test_a_loop_that_has_not_made_a_cycle_is_not_ready(
    tmp_path: Path, clock: Clock, statistics: LoopStatistics
) -> None:
    watch = watch_of(tmp_path, clock, "healthcare.ecg")
    watch.look()
    assert "no cycle yet" in watch.unready()["healthcare.ecg"]


def test_what_an_earlier_run_left_behind_counts_for_nothing(
    tmp_path: Path, clock: Clock, statistics: LoopStatistics
) -> None:
    statistics.note_cycle(cycle(0), 0, 0)
    watch = watch_of(tmp_path, clock)
    watch.look()
    clock.now_s += 60
    watch.look()
    assert watch.unready() == {}
    [loop] = watch.loops()
    assert loop["alive"] is False


def test_a_slow_loop_gets_five_of_its_periods(tmp_path: Path, clock: Clock) -> None:
    slow = LoopStatistics(spec(0.1), "healthcare", tmp_path / "run" / "healthcare.ecg.stats")
    watch = watch_of(tmp_path, clock, "healthcare.ecg")
    watch.look()
    slow.note_cycle(cycle(0), 0, 0)
    watch.look()
    clock.now_s += 49
    watch.look()
    assert watch.unready() == {}
    clock.now_s += 2
    assert watch.unready() != {}
    slow.close()


def test_readiness_says_which_model_is_being_prepared_while_a_loop_waits(
    start: Any, problem: Any, tmp_path: Path
) -> None:
    server = start(loops=("healthcare.ecg",))
    with server.client("viewer") as viewer:
        with preparing(tmp_path / "state-0" / "cache" / "engines", "ecg-rhythm 1.0.0"):
            first, *_ = problem(viewer.get("/readyz"), 503)["errors"]
            assert first == {"detail": "preparing: model ecg-rhythm 1.0.0"}
        assert "preparing" not in problem(viewer.get("/readyz"), 503)["detail"]


def test_readiness_names_the_loop_to_who_may_know_and_to_nobody_else(start: Any, problem: Any) -> None:
    server = start(loops=("healthcare.ecg",))
    with server.client(None) as nobody, server.client("viewer") as viewer:
        assert "ecg" not in problem(nobody.get("/readyz"), 503)["detail"]
        assert problem(viewer.get("/readyz"), 503)["errors"] == [
            {"detail": "loop healthcare.ecg: it has not started"}
        ]
        assert nobody.get("/healthz").json() == {"status": "ok"}


def test_loops_are_told_with_their_statistics_and_counted_for_prometheus(server: Any) -> None:
    kept = LoopStatistics(spec(), "healthcare", server.state.statistics("healthcare", "ecg"))
    for number in range(20):
        kept.note_cycle(cycle(number), number == 3, 0)
    with server.client("viewer") as client:
        answers = (client.get("/v1/loops").json()["loops"] for _ in range(1000))
        [loop] = next(loops for loops in answers if loops and loops[0]["alive"])
        text = client.get("/metrics").text
    kept.close()
    assert (loop["app"], loop["loop"], loop["cycles"], loop["missed_releases"]) == (
        "healthcare",
        "ecg",
        20,
        1,
    )
    assert loop["rate_hz"] == 10.0
    assert 1900 <= loop["duration_us"]["p50"] <= 2200
    assert 'edgeai_loop_cycles_total{app="healthcare",loop="ecg"} 20.0' in text
    assert 'edgeai_loop_alive{app="healthcare",loop="ecg"} 1.0' in text
    assert 'edgeai_loop_duration_seconds{app="healthcare",loop="ecg",quantile="0.5"} 0.00' in text


def test_a_statistics_file_that_is_none_is_named_and_harms_nothing(server: Any) -> None:
    (server.state.run / "healthcare.ecg.stats").write_bytes(b"\xff" * 3000)
    with server.client("viewer") as client:
        answers = (client.get("/v1/loops").json()["loops"] for _ in range(1000))
        [loop] = next(loops for loops in answers if loops)
        assert client.get("/metrics").status_code == 200
    assert loop["alive"] is False
    assert "statistics file" in loop["reason"]


def test_metrics_count_open_alerts_and_answers_by_route_not_by_address(server: Any) -> None:
    server.change("VF")
    server.change("LEAD_OFF", priority="low")
    with server.client("viewer") as client:
        for n in range(3):
            client.get(f"/v1/alerts/unknown-{n}")
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'edgeai_alerts_open{priority="high"} 1.0' in answer.text
    assert 'edgeai_alerts_open{priority="low"} 1.0' in answer.text
    assert 'edgeai_http_answers_total{method="GET",route="/v1/alerts/{id}",status="404"} 3.0' in answer.text
    assert "unknown-" not in answer.text


def test_models_are_told_with_their_cards_and_an_unreadable_one_is_named(start: Any, tmp_path: Path) -> None:
    card = ModelCard(
        name="rhythm",
        version="1.2.0",
        task="toy.rhythm",
        file="rhythm.onnx",
        digest="ab" * 32,
        licence="Apache-2.0",
        intended_use="Tests.",
        limits=("None known.",),
        inputs=(TensorSpec("signal", ("n", 500), "float32", "mV"),),
        outputs=(TensorSpec("scores", ("n", 3), "float32"),),
        classes=("a", "b", "c"),
    )
    write_card(card, tmp_path / "rhythm.card.toml")
    (tmp_path / "broken.card.toml").write_text("name = ")
    app = App(
        "toy",
        "",
        dict,
        lambda config: (),
        models=(tmp_path / "rhythm.card.toml", tmp_path / "broken.card.toml"),
    )
    server = start([MountedApp(app, {})])
    write_card(card, server.state.models / "toy.rhythm" / "1.2.1" / "rhythm.card.toml")
    with server.client("viewer") as client:
        told = client.get("/v1/models").json()
    assert [(m["name"], m["origin"], m["inputs"]) for m in told["models"]] == [
        ("rhythm", origin, ["signal float32[n, 500]"]) for origin in ("shipped", "taught")
    ]
    assert len(told["unreadable"]) == 1
    assert told["unreadable"][0].startswith("broken.card.toml: ")


def test_the_description_of_the_interface_has_an_example_for_every_body(shared: Any) -> None:
    with shared.client("viewer") as client:
        document = client.get("/openapi.json").json()
    assert document["security"] == [{"token": []}]
    schemas = document["components"]["schemas"]
    assert schemas["AlertBody"]["examples"][0]["code"] == "VENTRICULAR_FIBRILLATION"
    assert "application/problem+json" in document["paths"]["/v1/alerts"]["get"]["responses"]["401"]["content"]
    assert "text/event-stream" in document["paths"]["/v1/alerts/stream"]["get"]["responses"]["200"]["content"]
    names = {f"#/components/schemas/{name}" for name in schemas}
    assert set(_references(document)) <= names


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
