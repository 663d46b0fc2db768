"""Live topics over HTTP: the latest of each, as they come, never at the cost of the loop or of another client."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from edgeai_core.http.hub import Watcher, as_json
from edgeai_core.topics.live import LiveMessage, LivePublisher


@pytest.fixture
def publisher(server: Any) -> Iterator[LivePublisher]:
    with server.client(None) as client:
        client.get("/healthz")  # it listens now
    opened = LivePublisher(server.state.run)
    yield opened
    opened.close()


def until_latest(client: Any, topic: str) -> Any:
    """Ask for a topic until something has come on it."""
    return next(
        answer for answer in (client.get(f"/v1/live/{topic}") for _ in range(2000)) if answer.is_success
    )


def test_a_value_that_a_loop_shows_reaches_who_watches(server: Any, publisher: LivePublisher) -> None:
    with server.client("viewer") as client, client.stream("GET", "/v1/live/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": live"
        publisher.publish("healthcare.ecg/ecg", {"samples_mv": [[0.1, 0.2]], "heart_rate_bpm": math.nan}, 42)
        event = [line for line in itertools.islice(lines, 3) if line]
    assert event[0] == "event: live"
    assert event[1] == (
        'data: {"topic":"healthcare.ecg/ecg","time_ns":42,'
        '"data":{"samples_mv":[[0.1,0.2]],"heart_rate_bpm":null}}'
    )


def test_only_the_topics_asked_for_come_beginning_with_the_latest_of_each(
    server: Any, publisher: LivePublisher
) -> None:
    for topic in ("a.b/one", "a.b/two", "a.b/three"):
        publisher.publish(topic, topic, 1)
    with server.client("viewer") as client:
        until_latest(client, "a.b/three")
        assert client.get("/v1/live").json() == {"topics": ["a.b/one", "a.b/three", "a.b/two"]}
        with server.events(client, "/v1/live/stream?topics=a.b/one&topics=a.b/three") as events:
            first = list(itertools.islice(events, 2))
            publisher.publish("a.b/two", "not wanted", 2)
            publisher.publish("a.b/three", "wanted", 3)
            last = next(events)
    assert [event.data["data"] for event in first] == ["a.b/one", "a.b/three"]
    assert last.data == {"topic": "a.b/three", "time_ns": 3, "data": "wanted"}
    assert last.id is None


def test_chunks_arrive_in_order_and_whole(server: Any, publisher: LivePublisher) -> None:
    with server.client("viewer") as client, client.stream("GET", "/v1/live/stream") as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        numbers = []
        publisher.publish("a.b/chunk", 0, 0)
        for n in range(1, 20):
            numbers.append(next(lines))
            publisher.publish("a.b/chunk", n, n)
    assert [f'"data":{n}}}' in line for n, line in enumerate(numbers)] == [True] * 19


def test_a_picture_is_served_as_one_and_named_in_the_stream(server: Any, publisher: LivePublisher) -> None:
    image = b"\x89PNG\r\n\x1a\n"
    publisher.publish("line.camera/view", {"media_type": "image/png", "bytes": image, "part": 7}, 5)
    publisher.publish("line.camera/odd", {"media_type": "text/html", "bytes": b"<script>"}, 5)
    with server.client("viewer") as client:
        odd = until_latest(client, "line.camera/odd")
        shown = client.get("/v1/live/line.camera/view")
        with server.events(client, "/v1/live/stream?topics=line.camera/view") as events:
            told = next(events).data["data"]
    assert (shown.content, shown.headers["content-type"]) == (image, "image/png")
    assert told == {"media_type": "image/png", "part": 7, "href": "/v1/live/line.camera/view"}
    assert odd.json()["data"] == {"media_type": "text/html", "bytes": None}
    assert odd.headers["content-type"] == "application/json"


def test_a_value_that_is_a_jpeg_s_bytes_is_served_as_a_picture(server: Any, publisher: LivePublisher) -> None:
    image = b"\xff\xd8\xff\xe0 and so on"
    publisher.publish("line.camera/live", image, 7)
    with server.client("viewer") as client:
        shown = until_latest(client, "line.camera/live")
        with server.events(client, "/v1/live/stream?topics=line.camera/live") as events:
            told = next(events).data["data"]
    assert (shown.content, shown.headers["content-type"]) == (image, "image/jpeg")
    assert told == {"media_type": "image/jpeg", "href": "/v1/live/line.camera/live"}


def test_a_topic_on_which_nothing_came_is_not_found(shared: Any, problem: Any) -> None:
    with shared.client("viewer") as client:
        problem(client.get("/v1/live/no.loop/topic"), 404)


def test_a_slow_client_loses_the_oldest_values_of_a_busy_topic_alone() -> None:
    async def watch() -> tuple[list[str], int]:
        watcher = Watcher()
        watcher.offer(LiveMessage("tile", 0, None), "tile")
        for n in range(100):
            watcher.offer(LiveMessage("chunk", n, None), f"chunk {n}")
        batches = []
        while len(batches) < 33:
            batches += await watcher.next(0.0)
        return batches, watcher.dropped

    texts, dropped = asyncio.run(watch())
    assert texts == ["tile", *(f"chunk {n}" for n in range(68, 100))]
    assert dropped == 68


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (math.inf, "null"),
        ({"a": [1.5, math.nan]}, '{"a":[1.5,null]}'),
        (b"bytes", "null"),
        ({1: {2: "x"}}, '{"1":{"2":"x"}}'),
    ],
)
def test_what_json_cannot_hold_becomes_null(data: object, text: str) -> None:
    assert as_json(LiveMessage("t", 0, data)) == f'{{"topic":"t","time_ns":0,"data":{text}}}'
