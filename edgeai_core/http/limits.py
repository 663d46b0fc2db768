"""What a client may send and hold: sizes, times, well-formed JSON, and streams open at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message as MimeHeaders

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeai_core.http.auth import NOBODY, Principal
from edgeai_core.http.problems import problem

MAX_BODY_BYTES_OF_NOBODY = 4096
"""Somebody unknown may send a token, and nothing larger."""

MAX_URL_BYTES = 4096
MAX_HEADERS = 100


class HeadLimits:
    """ASGI middleware that refuses a request by its head: before anything in it is looked at."""

    def __init__(self, app: ASGIApp, max_header_bytes: int) -> None:
        self._app = app
        self._max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer: Response | None = None
        if scope["type"] == "http":
            headers = scope["headers"]
            size = sum(len(name) + len(value) + 4 for name, value in headers)
            if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
                answer = problem(414, f"the address is longer than {MAX_URL_BYTES} bytes")
            elif size > self._max_header_bytes or len(headers) > MAX_HEADERS:
                limit = f"{self._max_header_bytes} bytes or {MAX_HEADERS} fields"
                answer = problem(431, f"the header is larger than {limit}")
        await (answer or self._app)(scope, receive, send)


class BodyLimits:
    """ASGI middleware that reads a body whole, within size and time, before a route sees any of it.

    ``larger`` names paths that take more, with their limits: an app's own routes for pictures, say.
    JSON must be strict (RFC 8259, and no number that is not finite), nested at most 200 deep and valid
    Unicode throughout; else the answer is 400.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        request_timeout_s: float,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._larger = larger or {}
        self._max_body_bytes = max_body_bytes
        self._request_timeout_s = request_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            if _has_body(scope):
                body = await self._read(scope, receive)
                if body is None:
                    return None  # the client is gone
                _check_json(scope, body)
                receive = _replay(body, receive)
        except HTTPException as error:
            return await problem(error.status_code, error.detail)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        unknown = scope.get("edgeai.principal", NOBODY) is NOBODY
        most = max(self._max_body_bytes, self._larger.get(scope["path"], 0))
        limit = min(most, MAX_BODY_BYTES_OF_NOBODY) if unknown else most
        body = bytearray()
        try:
            async with asyncio.timeout(self._request_timeout_s):
                # What says that it is too large is refused unread: who waits for a "continue" sends none of it.
                while _declared_bytes(scope) <= limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > limit:
                        break
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise HTTPException(408, f"the body did not come within {self._request_timeout_s:g} s") from None
        # The server throws the rest away as it comes, for a bounded time: so the client gets to read this.
        raise HTTPException(413, f"the body is larger than {limit} bytes")


class Slots:
    """Counts the event streams that are open, of all and of each; refuses one too many."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open.total()

    @contextmanager
    def take(self, who: Principal) -> Iterator[None]:
        """Hold one slot. Raises the 429 problem where none is left."""
        if self.open >= self._most or self._open[who.key] >= self._most_each:
            raise HTTPException(429, "too many event streams are open; close one", {"Retry-After": "5"})
        self._open[who.key] += 1
        try:
            yield
        finally:
            self._open[who.key] -= 1
            if not self._open[who.key]:
                del self._open[who.key]


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _declared_bytes(scope: Scope) -> int:
    """Return how large the body is by its header; 0 where that does not say."""
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 20 else 0


def _check_json(scope: Scope, body: bytes) -> None:
    mime = MimeHeaders()
    mime["content-type"] = Headers(scope=scope).get("content-type", "")
    subtype = mime.get_content_subtype()
    if not body or mime.get_content_maintype() != "application":
        return
    if subtype != "json" and not subtype.endswith("+json"):
        return
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"the body is not the JSON it says it is: {error}") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed
