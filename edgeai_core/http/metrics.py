"""`/metrics`: counters for Prometheus, of every loop, of the alerts and of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from edgeai_core.alerts.journal import Journal
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts, Services
from edgeai_core.http.tokens import Role

router = APIRouter(tags=["health"])

_COUNTERS = {
    "cycles": "Cycles that were run",
    "idle_wakes": "Wake-ups without a cycle: the input was silent",
    "missed_releases": "Releases that were skipped",
    "dropped_samples": "Samples that overflowed",
    "lost_samples": "Samples that are missing by the sensor's own counter",
    "overruns": "Cycles that missed their deadline",
    "faults": "Cycles in which the fallback decided",
}
_GAUGES = {
    "rate_hz": "Cycles per second, over the last 64",
    "target_rate_hz": "Cycles per second that were asked for",
    "level": "Level of degradation; 0 is whole",
    "deadline_s": "Deadline, counted from the release",
}
_QUANTILES = {"p50": "0.5", "p99": "0.99", "p999": "0.999"}


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    dependencies=[allow(Role.VIEWER)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **responses(401, 403, 503)},
)
async def metrics(parts: Parts) -> Response:
    """Return the metrics in Prometheus' text format."""
    standing = await parts.reader.do(_standing)
    body = await asyncio.to_thread(_render, parts, standing)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Collector:
    """What Prometheus' client asks for the families of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _render(parts: Services, standing: Mapping[str, int]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(namespace="edgeai_serve", registry=registry)
    families = [*_loop_families(parts.watch.loops()), *_server_families(parts, standing)]
    registry.register(_Collector(families))
    return bytes(generate_latest(registry))


def _loop_families(loops: list[dict[str, Any]]) -> Iterator[Metric]:
    labels = ["app", "loop"]
    alive = GaugeMetricFamily("edgeai_loop_alive", "The loop makes progress", labels=labels)
    for each in loops:
        alive.add_metric([each["app"], each["loop"]], float(each["alive"]))
    yield alive
    for name, text in _COUNTERS.items():
        counter = CounterMetricFamily(f"edgeai_loop_{name}", text, labels=labels)
        for each in loops:
            if name in each:
                counter.add_metric([each["app"], each["loop"]], each[name])
        yield counter
    for name, text in _GAUGES.items():
        gauge = GaugeMetricFamily(f"edgeai_loop_{name}", text, labels=labels)
        for each in loops:
            if each.get(name) is not None:
                gauge.add_metric([each["app"], each["loop"]], each[name])
        yield gauge
    for name, text in (
        ("lateness", "Start of a cycle after its release"),
        ("duration", "Length of a cycle"),
        ("age", "Age of the oldest input at the decision"),
    ):
        yield _quantiles(f"edgeai_loop_{name}_seconds", text, f"{name}_us", loops)


def _quantiles(name: str, text: str, key: str, loops: list[dict[str, Any]]) -> Metric:
    family = SummaryMetricFamily(name, text, labels=["app", "loop"])
    for each in loops:
        percentiles = each.get(key)
        if not percentiles:
            continue
        labels = {"app": each["app"], "loop": each["loop"]}
        for percentile, quantile in _QUANTILES.items():
            family.add_sample(name, {**labels, "quantile": quantile}, percentiles[percentile] * 1e-6)
        family.add_sample(f"{name}_count", labels, percentiles["count"])
    return family


def _server_families(parts: Services, standing: Mapping[str, int]) -> Iterator[Metric]:
    alerts = GaugeMetricFamily("edgeai_alerts_open", "Alerts that have not cleared", labels=["priority"])
    for priority, count in standing.items():
        alerts.add_metric([priority], count)
    yield alerts
    yield CounterMetricFamily("edgeai_journal_sequence", "Events journalled", value=parts.feed.last)
    yield GaugeMetricFamily("edgeai_http_streams_open", "Event streams open", value=parts.slots.open)
    answers = CounterMetricFamily("edgeai_http_answers", "Answers", labels=["method", "route", "status"])
    for (method, route, status), count in sorted(parts.answers.items()):
        answers.add_metric([method, route, str(status)], count)
    yield answers


def _standing(journal: Journal) -> dict[str, int]:
    """Count the open alerts of all devices by priority; of more than a thousand, a thousand."""
    counts = {"high": 0, "medium": 0, "low": 0}
    for priority in counts:
        counts[priority] = len(
            journal.alerts(state=("raised", "acknowledged", "latched"), priority=priority, limit=1000)
        )
    return counts
