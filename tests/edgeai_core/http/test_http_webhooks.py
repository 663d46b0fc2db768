"""Webhooks: signed, in order, none lost; receivers that are down, that refuse, and that come back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from edgeai_core.alerts import outbox
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.receivers import (
    Receiver,
    add_receiver,
    remove_receiver,
)
from edgeai_core.errors import InputError
from edgeai_core.http.deliverer import Deliverer, Way, pause_s
from edgeai_core.http.feed import AlertFeed
from edgeai_core.http.journal import JournalWorker
from edgeai_core.state import State

URL = "https://pager.example/in/secret-path"


class Pager:
    """A receiver that answers what it is told to, and keeps what it took."""

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []
        self.taken: list[int] = []
        self.answers: list[int | Exception] = []
        self.refuses: set[int] = set()
        self.headers: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        sequence = json.loads(request.content)["data"]["sequence"]
        if sequence in self.refuses:
            answer = 422
        if answer < 300:
            self.taken.append(sequence)
        return httpx.Response(answer, headers=self.headers)


class Bench:
    """A journal, a deliverer whose waiting takes no time, and a pager."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder).create()
        self.journal = Journal(self.state.journal, device="ward-3")
        self.pager = Pager()
        self.pauses_s: list[float] = []
        self.now_s = 0.0
        self.until: Callable[[], bool] = lambda: False
        self._done = asyncio.Event()

    def add(self, name: str = "pager", **filters: Any) -> Receiver:
        receiver = add_receiver(self.state.webhooks, name, URL, **filters)
        outbox.enter(self.journal, name, from_now=True)
        return receiver

    def run(self, until: Callable[[], bool]) -> None:
        """Deliver until something holds; a server that starts and is ended."""
        asyncio.run(asyncio.wait_for(self._run(until), 30))

    async def _run(self, until: Callable[[], bool]) -> None:
        async def sleep(seconds: float) -> None:
            self.now_s += seconds
            self.pauses_s.append(seconds)
            await asyncio.sleep(0.001)

        worker = JournalWorker(Journal(self.state.journal, device="ward-3"), "test")
        feed = AlertFeed(worker, 0.01)
        await feed.open()
        following = asyncio.create_task(feed.run())
        way = Way(
            sleep, lambda: self.now_s, lambda: httpx.AsyncClient(transport=httpx.MockTransport(self.pager))
        )
        task = asyncio.create_task(Deliverer(self.state, worker, feed, "ward-3", way).run())
        try:
            while not until():
                if task.done():
                    task.result()
                await asyncio.sleep(0.002)
        finally:
            for each in (task, following):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
            worker.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "state")
    yield made
    made.journal.close()


@pytest.fixture
def write(bench: Bench) -> Callable[..., int]:
    """Return a function that journals one more alert in the bench's journal and returns its sequence."""
    from edgeai_core.alerts.lifecycle import Change
    from edgeai_core.alerts.walltime import now
    from edgeai_core.decision import Condition, Priority

    numbers = iter(range(1000))

    def one(priority: str = "high", app: str = "healthcare") -> int:
        number = next(numbers)
        condition = Condition("VF", f"patient-{number}", Priority(priority))
        change = Change(True, app, "ecg", condition, now(), f"alert-{number}", by="ecg")
        return bench.journal.append([change])[0].sequence

    return one


def test_what_arrives_is_a_cloudevent_that_standard_webhooks_verifies(
    bench: Bench, write: Callable[..., int]
) -> None:
    receiver = bench.add()
    sequence = write()
    bench.run(lambda: len(bench.pager.taken) == 1)
    request = bench.pager.seen[0]
    assert str(request.url) == URL
    event = from_structured(HTTPMessage(dict(request.headers), request.content), JSONFormat())
    assert event.get_type() == "edgeai.alert.raised"
    assert event.get_source() == "/edgeai/devices/ward-3"
    assert event.get_subject() == "alert-0"
    assert event.get_extension("sequence") == f"{sequence:020d}"
    assert event.get_id() == request.headers["webhook-id"] == f"{outbox.identity(bench.journal)}-{sequence}"
    assert event.get_data() == bench.journal.events("alert-0")[0].to_json()
    Webhook(receiver.secrets[0]).verify(request.content, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(receiver.secrets[0]).verify(request.content + b" ", dict(request.headers))


def test_a_receiver_that_was_down_gets_everything_in_order_once(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add()
    bench.pager.answers = [httpx.ConnectError("refused"), 503, 500, 404, 301, httpx.ReadTimeout("slow"), 429]
    sequences = [write() for _ in range(5)]
    bench.run(lambda: len(bench.pager.taken) == 5)
    assert bench.pager.taken == sequences
    ids = [request.headers["webhook-id"] for request in bench.pager.seen]
    assert len(set(ids[:8])) == 1
    assert len(set(ids)) == 5


def test_down_for_days_it_is_tried_ever_more_seldom_and_nothing_is_lost(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add()
    first = write()
    bench.pager.answers = [httpx.ConnectError("refused") for _ in range(900)]
    bench.run(lambda: bool(bench.pager.taken))
    assert bench.now_s > 2.5 * 86_400
    # in between it said so itself, in an event that was delivered like all others
    bench.run(lambda: len(bench.pager.taken) >= 3)
    assert bench.pager.taken == sorted(bench.pager.taken)
    assert bench.pager.taken[0] == first
    told = [alert for _, alert in bench.journal.alerts(code="WEBHOOK_FAILING")]
    assert [alert.state.value for alert in told] == ["cleared"]


def test_a_receiver_may_ask_for_a_pause(bench: Bench, write: Callable[..., int]) -> None:
    bench.add()
    write()
    bench.pager.answers = [429]
    bench.pager.headers = {"retry-after": "1234"}
    bench.run(lambda: bool(bench.pager.taken))
    assert 1234 in bench.pauses_s


@given(st.floats(0, 1e7), st.floats(0, 1e9), st.floats(0, 1))
def test_pauses_grow_with_the_age_and_are_bounded(down_s: float, asked_s: float, jitter: float) -> None:
    assert 0.9 <= pause_s(down_s, 0.0, jitter) <= 330
    assert pause_s(down_s, asked_s, jitter) <= 3600
    assert pause_s(down_s, 0.0, jitter) <= pause_s(2 * down_s, 0.0, jitter)


def test_what_is_refused_for_good_becomes_a_dead_letter_and_the_rest_goes_on(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add()
    one, bad, three = write(), write(), write()
    bench.pager.refuses = {bad}
    bench.run(lambda: three in bench.pager.taken)
    assert bench.pager.taken[:2] == [one, three]
    assert sum(json.loads(r.content)["data"]["sequence"] == bad for r in bench.pager.seen) == 3
    (letter,) = outbox.dead_letters(bench.journal, "pager")
    assert (letter.event.sequence, letter.reason, letter.again) == (
        bad,
        "it answered 422 Unprocessable Entity",
        False,
    )
    (told,) = [alert for _, alert in bench.journal.alerts(code="WEBHOOK_REFUSED")]
    assert told.active

    # A person mends the receiver and asks for it once more.
    bench.pager.refuses = set()
    outbox.send_again(bench.journal, "pager", bad)
    bench.run(lambda: bad in bench.pager.taken and not outbox.dead_letters(bench.journal, "pager"))
    bench.run(lambda: not bench.journal.alerts(code="WEBHOOK_REFUSED", active=True))


def test_a_dead_letter_that_is_refused_again_stays_one(bench: Bench, write: Callable[..., int]) -> None:
    bench.add()
    bad = write()
    bench.pager.refuses = {bad}
    bench.run(lambda: bool(outbox.dead_letters(bench.journal, "pager")))
    outbox.send_again(bench.journal, "pager", bad)
    seen = len(bench.pager.seen)
    bench.run(
        lambda: len(bench.pager.seen) > seen and not outbox.dead_letters(bench.journal, "pager", again=True)
    )
    assert [each.event.sequence for each in outbox.dead_letters(bench.journal, "pager")] == [bad]
    outbox.discard(bench.journal, "pager", bad)
    with pytest.raises(InputError, match="no dead letter"):
        outbox.discard(bench.journal, "pager", bad)


def test_an_event_sent_but_not_noted_comes_again_under_the_same_id(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add()
    write()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "note_delivered", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with suppress(KeyboardInterrupt):
            bench.run(lambda: False)
    bench.run(lambda: len(bench.pager.taken) == 2)
    assert bench.pager.taken[0] == bench.pager.taken[1]
    assert bench.pager.seen[0].headers["webhook-id"] == bench.pager.seen[1].headers["webhook-id"]


def test_filters_pass_what_matches_all_of_them_and_the_rest_counts_as_delivered(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add(priorities=["high"], apps=["healthcare"])
    wanted = write()
    write(priority="low")
    last = write(app="automotive")
    bench.run(lambda: bench.journal.delivered("pager") == last)
    assert bench.pager.taken == [wanted]
    found = outbox.standing(bench.journal, "pager")
    assert found is not None
    assert (found.waiting, found.dead, found.failing_since) == (0, 0, None)


def test_a_role_gets_what_was_escalated_to_it_and_what_follows(
    bench: Bench, write: Callable[..., int]
) -> None:
    from edgeai_core.alerts.lifecycle import EscalationStep, escalate
    from edgeai_core.decision import Priority

    bench.add(roles=["physician"])
    write()
    steps = [EscalationStep(Priority.HIGH, 60.0, "physician")]
    event = bench.journal.change(
        "alert-0", "escalated", "x", lambda alert, at: escalate(alert, 60.0, steps, at)
    )
    assert event is not None
    known = bench.journal.acknowledge("alert-0", "anna")
    bench.run(lambda: len(bench.pager.taken) == 2)
    assert bench.pager.taken == [event.sequence, known.sequence]


def test_several_receivers_do_not_wait_for_each_other(bench: Bench, write: Callable[..., int]) -> None:
    bench.add("one")
    bench.add("two")
    sequence = write()
    bench.run(lambda: bench.pager.taken == [sequence, sequence])
    remove_receiver(bench.state.webhooks, "one")
    outbox.leave(bench.journal, "one")
    assert outbox.standing(bench.journal, "one") is None


def test_a_new_receiver_gets_what_comes_from_now_on(bench: Bench, write: Callable[..., int]) -> None:
    write()
    bench.add()
    sequence = write()
    bench.run(lambda: bool(bench.pager.taken))
    assert bench.pager.taken == [sequence]


def test_retention_waits_for_what_is_undelivered_and_keeps_dead_letters_readable(
    bench: Bench, write: Callable[..., int]
) -> None:
    bench.add()
    write()
    event = bench.journal.acknowledge("alert-0", "anna")
    from edgeai_core.alerts.lifecycle import Change
    from edgeai_core.alerts.walltime import now
    from edgeai_core.decision import Condition, Priority

    over = Change(
        False, "healthcare", "ecg", Condition("VF", "patient-0", Priority.HIGH), now(), "x", by="ecg"
    )
    last = bench.journal.append([over])[0]
    short = Journal(bench.state.journal, device="ward-3", retention_days=0.0)
    assert short.prune().deleted == 0
    outbox.bury(bench.journal, "pager", event, "refused")
    outbox.note_delivered(bench.journal, "pager", last.sequence)
    assert short.prune().deleted == 1
    short.close()
    assert [each.event for each in outbox.dead_letters(bench.journal, "pager")] == [event]


def test_a_real_server_delivers_to_a_real_receiver(start: Any) -> None:
    arrived = threading.Event()
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            running = start()
            url = f"http://127.0.0.1:{receiver.server_port}/in"
            add_receiver(running.state.webhooks, "pager", url)
            event = running.change()
            assert arrived.wait(60)
        finally:
            receiver.shutdown()
            thread.join()
    assert json.loads(bodies[0])["data"] == event.to_json()
