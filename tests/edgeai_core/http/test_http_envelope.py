"""What the outermost layer of the server does with failures: those of ours are logged, a client that leaves is none."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import pytest

from edgeai_core.http.envelope import Envelope

Message = MutableMapping[str, Any]


def serve(*, leaves: bool, begins: bool) -> list[Message]:
    """Answer one request by an application that fails, perhaps after it began and its client left."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        raise RuntimeError("the stream is broken")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Envelope(application, Counter())(scope, receive, send))
    return sent


def test_a_client_that_leaves_in_the_middle_of_an_answer_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        serve(leaves=True, begins=True)
    assert not caplog.records


@pytest.mark.parametrize(("leaves", "begins"), [(False, True), (False, False), (True, False)])
def test_a_failure_of_ours_is_logged_and_before_an_answer_began_told_as_a_problem(
    leaves: bool, begins: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sent = serve(leaves=leaves, begins=begins)
    assert [record.getMessage() for record in caplog.records] == ["a request failed method=GET route=-"]
    assert [each["status"] for each in sent if "status" in each] == [200 if begins else 500]
    assert b"broken" not in b"".join(each.get("body", b"") for each in sent)
