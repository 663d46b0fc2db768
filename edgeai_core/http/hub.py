"""Live topics as they reach this process, the latest of each, and those who watch them."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeai_core.topics.live import LiveMessage, LiveReceiver

_MAX_TOPICS = 1000
_MAX_WAITING = 32
_MAX_PER_WAKE = 64
_PICTURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
"""Media types of pictures, and how their files begin."""


class LiveHub:
    """Receives every live topic on the event loop and hands it to the watchers.

    ``on_message`` are called by topic: how the journal's nudge gets to the alert feed.
    """

    def __init__(self, run: Path, on_message: dict[str, Callable[[], None]]) -> None:
        self._run = run
        self._on_message = on_message
        self._receiver: LiveReceiver | None = None
        self._latest: OrderedDict[str, LiveMessage] = OrderedDict()
        self._watchers: set[Watcher] = set()
        self.closed = False

    def open(self) -> None:
        """Listen; call on the event loop's thread."""
        self._receiver = LiveReceiver(self._run)
        asyncio.get_running_loop().add_reader(self._receiver.fileno(), self._take)

    def close(self) -> None:
        """Stop listening and end every watcher."""
        self.closed = True
        for watcher in self._watchers:
            watcher.wake()
        if self._receiver is not None:
            asyncio.get_running_loop().remove_reader(self._receiver.fileno())
            self._receiver.close()
            self._receiver = None

    def latest(self, topic: str) -> LiveMessage | None:
        """Return the newest value of a topic, None where nothing came yet."""
        return self._latest.get(topic)

    def topics(self) -> list[str]:
        """Return the names of the topics on which something has come."""
        return sorted(self._latest)

    def watch(self, watcher: Watcher) -> None:
        """Hand everything from now on to ``watcher``, beginning with the latest of each topic it wants."""
        for message in self._latest.values():
            watcher.offer(message, as_json(message))
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    def _take(self) -> None:
        assert self._receiver is not None
        for _ in range(_MAX_PER_WAKE):  # then other work gets its turn
            message = self._receiver.receive(0.0)
            if message is None:
                return
            self._hand_out(message)

    def _hand_out(self, message: LiveMessage) -> None:
        callback = self._on_message.get(message.topic)
        if callback is not None:
            return callback()
        self._latest[message.topic] = message
        self._latest.move_to_end(message.topic)
        if len(self._latest) > _MAX_TOPICS:
            self._latest.popitem(last=False)
        wanting = [watcher for watcher in self._watchers if watcher.wants(message.topic)]
        if wanting:
            text = as_json(message)
            for watcher in wanting:
                watcher.offer(message, text)
        return None


class Watcher:
    """One client's view: what waits to be sent to it, in order by topic, at most 32 values of each.

    A client too slow for a topic loses its oldest values; ``dropped`` counts them, and the next event says so.
    """

    def __init__(self, topics: frozenset[str] = frozenset()) -> None:
        self._topics = topics
        self._waiting: OrderedDict[str, deque[str]] = OrderedDict()
        self._something = asyncio.Event()
        self.dropped = 0

    def wants(self, topic: str) -> bool:
        """Say whether a topic is watched; with none named, all are."""
        return not self._topics or topic in self._topics

    def offer(self, message: LiveMessage, text: str) -> None:
        """Put one value in the queue of its topic."""
        if not self.wants(message.topic):
            return
        queue = self._waiting.setdefault(message.topic, deque(maxlen=_MAX_WAITING))
        if len(queue) == _MAX_WAITING:
            self.dropped += 1
        queue.append(text)
        self._something.set()

    def wake(self) -> None:
        """Make ``next`` return."""
        self._something.set()

    async def next(self, timeout_s: float) -> list[str]:
        """Return what waits, one value of each topic in turn; empty where nothing came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._something.wait()
        except TimeoutError:
            return []
        batch = [queue.popleft() for queue in self._waiting.values()]
        self._waiting = OrderedDict((topic, queue) for topic, queue in self._waiting.items() if queue)
        if not self._waiting:
            self._something.clear()
        return batch


def picture(message: LiveMessage) -> tuple[str, bytes] | None:
    """Return (media type, bytes) where a topic's value is a picture.

    That is the bytes of a JPEG, PNG or WebP, or ``{"media_type": ..., "bytes": ...}`` with what else is to be said.
    """
    data = message.data
    if isinstance(data, bytes):
        media_type = next((kind for kind, begins in _PICTURES.items() if begins.match(data)), None)
        return None if media_type is None else (media_type, data)
    if not isinstance(data, dict) or not isinstance(data.get("bytes"), bytes):
        return None
    media_type = data.get("media_type")
    return (media_type, data["bytes"]) if media_type in _PICTURES else None


def as_json(message: LiveMessage) -> str:
    """Return a live value as JSON. A picture becomes its address; what is not finite becomes null."""
    data = message.data
    shown = picture(message)
    if shown is not None:
        rest = {} if isinstance(data, bytes) else {key: each for key, each in data.items() if key != "bytes"}
        data = {"media_type": shown[0], **rest, "href": f"/v1/live/{message.topic}"}
    document = {"topic": message.topic, "time_ns": message.time_ns, "data": data}
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return json.dumps(_plain(document), separators=(",", ":"))


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < 16:
        if isinstance(value, dict):
            return {str(key): _plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [_plain(each, depth + 1) for each in value]
    return None
