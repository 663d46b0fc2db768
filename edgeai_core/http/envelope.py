"""What every answer is wrapped in: security headers, a count for the metrics, and a problem where code failed."""

from __future__ import annotations

import logging
from collections import Counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeai_core.http.problems import problem

_log = logging.getLogger("edgeai.http")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Envelope:
    """The outermost ASGI middleware. ``answers`` counts by (method, route, status)."""

    def __init__(self, app: ASGIApp, answers: Counter[tuple[str, str, int]]) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a failure of ours becomes a problem document without a word of the code."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = gone = False

        async def receive_wrapped() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def send_wrapped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                self._answers[_label(scope, message["status"])] += 1
            await send(message)

        try:
            await self._app(scope, receive_wrapped, send_wrapped)
        except Exception as error:
            if started and gone:  # FastAPI's event streams may end so when their client leaves
                _log.debug("a client left during an answer route=%s error=%r", _route(scope), error)
                return None
            _log.exception("a request failed method=%s route=%s", scope["method"], _route(scope))
            if not started:
                await problem(500, "the server failed; its log says why")(
                    scope, receive_wrapped, send_wrapped
                )
        return None


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "-"))


def _label(scope: Scope, status: int) -> tuple[str, str, int]:
    return (scope["method"] if scope["method"] in _METHODS else "-", _route(scope), status)
