"""``edgeai model``: what models there are, and fetching them by their digest from a server of our own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgeai_core.cli import models
from edgeai_core.cli.main import execute
from edgeai_core.runners.card import ModelCard, TensorSpec, digest_of


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def release(tmp_path: Path) -> Iterator[str]:
    """A server that holds one model, as a project's release does."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "far.onnx").write_bytes(b"weights" * 1000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/far.onnx"
    server.shutdown()
    server.server_close()


@pytest.fixture
def card(tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """The card of that model, as an installed app names it."""
    digest = digest_of(tmp_path / "www" / "far.onnx")
    one = (TensorSpec("x", (1,), "float32"),)
    card = ModelCard(
        "far", "1.0", "test.look", "far.onnx", digest, "MIT", "tests", (), one, one, source="https://example.invalid/f"
    )  # fmt: skip
    monkeypatch.setattr(models, "named_cards", lambda: [(tmp_path / "app" / "far.card.toml", card)])
    return card


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    actual = execute([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert actual == code, err
    return out, err


def test_a_model_is_fetched_and_then_listed_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, release: str, card: ModelCard
) -> None:
    state = ("--state", tmp_path / "state")
    listed, _ = run(capsys, "model", "list", *state)
    assert "edgeai model fetch far" in listed
    out, _ = run(capsys, "model", "fetch", "far", "--from", release, *state)
    path = Path(out.strip())
    assert path == tmp_path / "state" / "models" / "test.look" / "1.0" / "far.onnx"
    assert digest_of(path) == card.digest
    rows = json.loads(run(capsys, "model", "list", "--json", *state)[0])
    assert [(row["name"], row["licence"], row["path"], row["source"]) for row in rows] == [
        ("far", "MIT", str(path), card.source)
    ]


def test_another_file_than_the_cards_ends_in_one_line_and_keeps_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    release: str,
    card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = replace(card, digest="0" * 64)
    monkeypatch.setattr(models, "named_cards", lambda: [(tmp_path / "far.card.toml", other)])
    _, err = run(capsys, "model", "fetch", "far", "--from", release, "--state", tmp_path / "state", code=4)
    assert err.count("\n") == 1
    assert "SHA-256" in err
    assert list((tmp_path / "state").rglob("*.onnx")) == []


def test_a_name_that_nobody_knows_is_a_usage_error_with_those_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, card: ModelCard
) -> None:
    _, err = run(capsys, "model", "fetch", "near", "--state", tmp_path / "state", code=2)
    assert "there are: far" in err


def test_the_shipped_models_are_listed_without_any_setup(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, _ = run(capsys, "model", "list", "--state", tmp_path / "state")
    assert "ecg-rhythm" in out
