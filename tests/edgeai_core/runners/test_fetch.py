"""Fetching of models: only the file with the card's digest is ever kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgeai_core.errors import ModelError
from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, read_card
from edgeai_core.runners.fetch import fetch, fetched_path

DATA = bytes(range(256)) * 2000
CARD = ModelCard(
    name="far",
    version="1.2",
    task="test.look",
    file="far.onnx",
    digest=hashlib.sha256(DATA).hexdigest(),
    licence="Apache-2.0",
    intended_use="tests",
    limits=(),
    inputs=(TensorSpec("x", (1,), "float32"),),
    outputs=(TensorSpec("y", (1,), "float32"),),
    source="https://example.invalid/far.onnx",
)


class Handler(BaseHTTPRequestHandler):
    """Serves the model, one that is another, one cut short, and one that is not there."""

    asked = 0

    def do_GET(self) -> None:
        Handler.asked += 1
        body = {"/far.onnx": DATA, "/other.onnx": DATA[:-1] + b"!", "/short.onnx": DATA[:1000]}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(DATA) if body is not None else 0))
        self.end_headers()
        if body is not None:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()


def silent(what: str, done: int, total: int) -> None:
    pass


def test_the_file_and_its_card_lie_where_models_are_looked_for_and_progress_is_told(
    server: str, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(CARD, tmp_path, lambda what, done, total: told.append((done, total)), f"{server}/far.onnx")
    assert path == fetched_path(tmp_path, CARD) == tmp_path / "test.look" / "1.2" / "far.onnx"
    assert path.read_bytes() == DATA
    assert read_card(card_path(path)) == CARD
    assert told[-1] == (len(DATA), len(DATA))


def test_what_is_here_already_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    fetch(CARD, tmp_path, silent, f"{server}/far.onnx")
    before = Handler.asked
    fetch(CARD, tmp_path, silent, f"{server}/far.onnx")
    assert Handler.asked == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [("other.onnx", "SHA-256"), ("short.onnx", "cannot be fetched|ended after"), ("none.onnx", "404")],
)
def test_another_file_is_refused_and_nothing_is_kept(
    server: str, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        fetch(CARD, tmp_path, silent, f"{server}/{name}")
    assert list(tmp_path.rglob("*.onnx")) == []


def test_a_card_without_a_source_and_an_address_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no source"):
        fetch(replace(CARD, source=""), tmp_path, silent)
    with pytest.raises(ModelError, match="http or https"):
        fetch(CARD, tmp_path, silent, "file:///etc/passwd")
    with pytest.raises(ValueError, match="no https address"):
        replace(CARD, source="http://example.invalid/x")


def test_nobody_at_the_address_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--from"):
        fetch(CARD, tmp_path, silent, "http://127.0.0.1:9/far.onnx")
