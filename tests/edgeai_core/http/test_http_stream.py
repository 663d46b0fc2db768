"""The alert stream: every journalled change, in order, once, also after a reconnect."""

from __future__ import annotations

import itertools
import sqlite3
from typing import Any

import httpx
import pytest

from edgeai_core.http.tokens import revoke_token
from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher


def take(events: Any, count: int) -> list[Any]:
    return list(itertools.islice(events, count))


def test_a_change_made_by_another_process_reaches_the_stream(server: Any) -> None:
    with server.client("viewer") as client, server.events(client) as events:
        assert next(events).event == "ready"
        written = server.change()
        event = next(events)
    assert (event.event, event.id) == ("alert", str(written.sequence))
    assert event.data == written.to_json()


def test_an_alert_posted_or_acknowledged_here_reaches_the_stream_without_a_nudge(start: Any) -> None:
    server = start(journal_poll_s=3600)
    with server.client("admin") as client, server.events(client) as events:
        next(events)
        body = {"id": "x1", "device": "bed-7", "app": "a", "loop": "l", "code": "C", "subject": "s"}
        client.post("/v1/alerts", json=body | {"priority": "low", "raised_at": "2026-01-01T00:00:00Z"})
        client.post("/v1/alerts/x1/acknowledge")
        assert [event.data["kind"] for event in take(events, 2)] == ["raised", "acknowledged"]


def test_a_live_nudge_wakes_the_stream_long_before_it_would_look_itself(start: Any) -> None:
    server = start(journal_poll_s=3600)
    publisher = LivePublisher(server.state.run)
    with server.client("viewer") as client, server.events(client) as events:
        next(events)
        written = server.change()
        assert publisher.publish(JOURNAL_TOPIC, written.sequence, 0)
        assert next(events).id == str(written.sequence)
    publisher.close()


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_reconnect_with_the_last_id_misses_nothing_and_repeats_nothing(server: Any, how: str) -> None:
    ids = [str(server.change("VF", f"p{n}").sequence) for n in range(5)]
    with server.client("viewer") as client:
        path = "/v1/alerts/stream" + (f"?last_event_id={ids[1]}" if how == "query" else "")
        headers = {"Last_Event_ID": ids[1]} if how == "header" else {}
        with server.events(client, path, **headers) as events:
            assert [event.id for event in take(events, 4)] == [None, *ids[2:]]
            later = server.change("VF", "later")
            assert next(events).id == str(later.sequence)


def test_a_client_far_behind_gets_everything_in_order(server: Any) -> None:
    ids = [str(event.sequence) for event in server.changes(450)]
    with server.client("viewer") as client, server.events(client, Last_Event_ID="0") as events:
        assert [event.id for event in take(events, 451)][1:] == ids


def test_a_stream_without_an_id_starts_now_and_says_where(server: Any) -> None:
    last = server.change()
    with server.client("viewer") as client, server.events(client) as events:
        ready = next(events)
        assert ready.id is None
        assert ready.data == {"sequence": last.sequence}


def test_only_journalled_events_carry_an_id(server: Any) -> None:
    with server.client("viewer") as client, server.events(client, Last_Event_ID="99") as events:
        server.change()
        assert [(event.event, event.id is not None) for event in take(events, 3)] == [
            ("reset", False),
            ("ready", False),
            ("alert", True),
        ]


def test_an_id_that_is_too_old_gets_an_explicit_reset_and_the_stream_goes_on(server: Any) -> None:
    for n in range(4):
        last = server.change("VF", f"p{n}")
    forget_up_to(server, last.sequence - 1)
    with server.client("viewer") as client:
        with server.events(client, Last_Event_ID="1") as events:
            reset, ready = take(events, 2)
            assert reset.event == "reset"
            assert "too old" in reset.data["reason"]
            assert reset.data["first_sequence"] == last.sequence
            assert ready.data["sequence"] == last.sequence
            new = server.change("VF", "new")
            assert next(events).id == str(new.sequence)
        with server.events(client, Last_Event_ID=str(last.sequence - 1)) as events:
            assert [event.event for event in take(events, 2)] == ["ready", "alert"]


@pytest.mark.parametrize("id", ["x", "-1", "1.5", "9" * 19, "1 2", "\u0661"])
def test_an_id_that_is_none_is_refused(shared: Any, problem: Any, id: str) -> None:
    with shared.client("viewer") as client:
        problem(client.get("/v1/alerts/stream", headers={"Last-Event-ID": id.encode()}), 422)


def test_the_stream_is_not_kept_by_anybody_on_the_way(shared: Any) -> None:
    with shared.client("viewer") as client, client.stream("GET", "/v1/alerts/stream") as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"


def test_a_silent_stream_says_that_it_lives(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    with server.client("viewer") as client, client.stream("GET", "/v1/alerts/stream") as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": ping"


def test_streams_are_limited_and_a_closed_one_makes_room(start: Any, problem: Any) -> None:
    server = start(max_streams=3, max_streams_each=2)
    with server.client("viewer") as one, server.client("viewer") as two:
        with server.events(one), server.events(one, "/v1/live/stream"):
            assert problem(one.get("/v1/alerts/stream"), 429)
            with server.events(two):
                problem(two.get("/v1/live/stream"), 429)
        # The server notices a closed connection at once, but not before we ask again.
        answers = (two.send(two.build_request("GET", "/v1/alerts/stream"), stream=True) for _ in range(1000))
        answer = next(each for each in answers if each.status_code == 200 or each.close())
        answer.close()


def test_a_stream_ends_when_its_token_is_revoked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_core.http.stream.CHECK_S", 0.01)
    with server.client("viewer", "screen") as client, server.events(client) as events:
        next(events)
        revoke_token(server.state, "screen")
        assert list(events) == []


def test_a_journal_that_cannot_be_read_ends_no_stream_for_good(server: Any, monkeypatch: Any) -> None:
    from edgeai_core.alerts.journal import Journal
    from edgeai_core.errors import JournalError

    read = Journal.events_after
    failures = iter([True, True])

    def fail(self: Journal, sequence: int, limit: int = 100) -> Any:
        if next(failures, False):
            raise JournalError("the disk is gone")
        return read(self, sequence, limit)

    with server.client("viewer") as client, server.events(client) as events:
        next(events)
        monkeypatch.setattr(Journal, "events_after", fail)
        written = server.change()
        assert next(events).id == str(written.sequence)


def test_a_hundred_changes_at_once_reach_every_client_in_order(server: Any) -> None:
    with server.client("viewer") as client, server.events(client) as one, server.events(client) as two:
        next(one), next(two)
        ids = [str(event.sequence) for event in server.changes(100)]
        assert [event.id for event in take(one, 100)] == ids
        assert [event.id for event in take(two, 100)] == ids


def test_a_stopping_server_ends_its_streams(start: Any) -> None:
    server = start()
    with server.client("viewer") as client, server.events(client) as events:
        next(events)
        with server.events(client, "/v1/live/stream") as live:
            server.server.should_exit = True
            assert list(events) == []
            assert list(live) == []
    with pytest.raises(httpx.TransportError), server.client(None) as client:
        client.get("/healthz")


def forget_up_to(server: Any, sequence: int) -> None:
    """Delete old events as retention does, for which the journal has no shorter way."""
    with sqlite3.connect(server.state.journal) as database:
        database.execute("DELETE FROM events WHERE sequence <= ?", (sequence,))
        database.execute("UPDATE retention SET forgotten = ?", (sequence,))
    database.close()
