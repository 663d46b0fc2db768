"""Who receives webhooks: what makes no sense is refused, secrets are kept, and an admin sees how receivers do."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.alerts import outbox
from edgeai_core.alerts.receivers import add_receiver, read_receivers, remove_receiver, rotate_secret
from edgeai_core.errors import ConfigError
from edgeai_core.state import State

URL = "https://pager.example/in/secret-path"


@pytest.mark.parametrize(
    ("name", "url", "filters", "reason"),
    [
        ("a b", URL, {}, "cannot be named"),
        ("a", "http://pager.example/", {}, "in the clear"),
        ("a", "ftp://pager.example/", {}, "no address of a webhook"),
        ("a", "https://", {}, "no address of a webhook"),
        ("a", "https://host:99999/", {}, "no address"),
        ("a", URL, {"priorities": ["urgent"]}, "there is no priority 'urgent'"),
        ("a", URL, {"kinds": ["born"]}, "there is no kind 'born'"),
    ],
)
def test_a_receiver_that_makes_no_sense_is_refused(
    tmp_path: Path, name: str, url: str, filters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        add_receiver(tmp_path / "webhooks.toml", name, url, **filters)
    assert read_receivers(tmp_path / "webhooks.toml") == []


def test_secrets_are_their_owners_alone_and_two_sign_while_one_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.toml"
    first = add_receiver(path, "pager", "http://127.0.0.1:9/", priorities=["high"])
    assert path.stat().st_mode & 0o077 == 0
    fresh = rotate_secret(path, "pager")
    assert read_receivers(path)[0].secrets == (fresh, first.secrets[0])
    newest = rotate_secret(path, "pager")
    assert read_receivers(path)[0].secrets == (newest, fresh)
    with pytest.raises(ConfigError, match="exists"):
        add_receiver(path, "pager", URL)
    with pytest.raises(ConfigError, match="there is no webhook 'other'"):
        remove_receiver(path, "other")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="cannot be trusted"):
        read_receivers(path)


@pytest.fixture
def undelivered(tmp_path: Path, start: Any) -> Iterator[Any]:
    """A server whose deliverer waits: another holds its lock, so nobody writes to the journal but the test."""
    lock = State(tmp_path / "state-0").create().run / "webhooks.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield start()


def test_over_http_an_admin_sees_how_receivers_do_and_nobody_sees_a_secret(
    undelivered: Any, problem: Any
) -> None:
    server = undelivered
    receiver = add_receiver(server.state.webhooks, "pager", URL, priorities=["high"])
    event = server.change()
    outbox.enter(server.journal, "pager", from_now=False)
    outbox.bury(server.journal, "pager", event, "it answered 422")
    with server.client("admin") as client:
        (row,) = client.get("/v1/webhooks").json()
        assert (row["name"], row["host"], row["dead"], row["waiting"]) == ("pager", "pager.example", 1, 0)
        letters = client.get("/v1/webhooks/pager/dead-letters").json()
        assert letters[0]["event"]["sequence"] == event.sequence
        text = json.dumps([row, letters]) + client.get("/openapi.json").text
        assert receiver.secrets[0] not in text
        assert "secret-path" not in text
        path = f"/v1/webhooks/pager/dead-letters/{event.sequence}"
        assert client.post(f"{path}/retry").status_code == 202
        assert client.get("/v1/webhooks/pager/dead-letters").json()[0]["again"] is True
        assert client.delete(path).status_code == 204
        problem(client.delete(path), 404)
        problem(client.get("/v1/webhooks/other/dead-letters"), 404)
