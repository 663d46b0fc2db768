"""The connection: uvicorn's HTTP/1.1 protocol, with time limits on idlers and problem documents for what is no HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from edgeai_core.http.problems import MEDIA_TYPE, problem_bytes


class Connection(H11Protocol):
    """One client's connection.

    It is cut when a request's head does not come within ``request_timeout_s``, and when the client reads
    nothing for ``send_timeout_s`` though there is something to read. One connection too many is told so.
    """

    def __init__(
        self, *, max_connections: int, request_timeout_s: float, send_timeout_s: float, **uvicorn: Any
    ) -> None:
        super().__init__(**uvicorn)
        self._max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._send_timeout_s = send_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, "too many connections are open")
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Get ready for the next request; the time for its head runs from its first byte."""
        super().on_response_complete()
        self._stop_head_timer()
        if self.conn.their_state is not h11.IDLE and self.conn.their_state is not h11.DONE:
            self._watch_head()  # the rest of a refused body is still coming

    def pause_writing(self) -> None:
        """Notice that the client does not read."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Notice that the client reads again."""
        self._stop_send_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._stop_head_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """Take no WebSocket or HTTP/2: the request is answered as it stands."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too large a head."""
        self._refuse(400, "this is not a well-formed HTTP request, or its head is too large")

    def _watch_head(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering or self.transport.is_closing():
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._request_timeout_s, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application; where an answer is under way, only cut the connection."""
        body = problem_bytes(status, detail)
        headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))), ("Connection", "close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
