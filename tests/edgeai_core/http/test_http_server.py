"""The server as a process: where it listens, what it says of itself, how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgeai_core.errors import ConfigError
from edgeai_core.http.server import bind, create_app, serve
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.tokens import create_token
from edgeai_core.state import State

_SERVE = """
import sys
from pathlib import Path
from edgeai_core.http.server import bind, serve
from edgeai_core.http.settings import ServeSettings
listener = bind("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
serve(ServeSettings(state=Path(sys.argv[1])), listener)
print("served", flush=True)
"""


@contextmanager
def process(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(state)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        yield child, f"http://127.0.0.1:{child.stdout.readline().strip()}"
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.mark.system
def test_the_server_says_where_it_is_and_ends_in_order_though_streams_are_open(tmp_path: Path) -> None:
    token = create_token(State(tmp_path).create(), "screen", "viewer")
    with process(tmp_path) as (child, url):
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            assert client.get("/healthz").status_code == 200
            told = json.loads((tmp_path / "run" / "serve.json").read_text())
            assert told == {
                "host": "127.0.0.1",
                "port": int(url.rsplit(":", 1)[1]),
                "pid": child.pid,
                "url": url + "/",
            }
            with (
                client.stream("GET", "/v1/alerts/stream") as one,
                client.stream("GET", "/v1/live/stream") as two,
            ):
                lines = one.iter_lines()
                next(lines)
                child.send_signal(signal.SIGTERM)
                assert not any(line.startswith("id:") for line in (*lines, *two.iter_lines()))
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out, err) == (0, "served\n", "")
    assert not (tmp_path / "run" / "serve.json").exists()


@pytest.mark.system
def test_what_was_acknowledged_survives_the_servers_sudden_death_and_the_stream_resumes(
    tmp_path: Path,
) -> None:
    state = State(tmp_path).create()
    headers = {"Authorization": f"Bearer {create_token(state, 'bed-7', 'admin')}"}
    body = {"device": "bed-7", "app": "a", "loop": "l", "code": "C", "subject": "s", "priority": "low"}
    body["raised_at"] = "2026-01-01T00:00:00Z"
    with process(tmp_path) as (child, url), httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        client.post("/v1/alerts", json=body | {"id": "one"})
        with client.stream("GET", "/v1/alerts/stream", headers={"Last-Event-ID": "0"}) as stream:
            last = next(line for line in stream.iter_lines() if line.startswith("id: ")).removeprefix("id: ")
        assert client.post("/v1/alerts/one/acknowledge").status_code == 200
        child.kill()
    with process(tmp_path) as (_, url), httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        assert client.get("/v1/alerts/one").json()["state"] == "acknowledged"
        with client.stream("GET", "/v1/alerts/stream", headers={"Last-Event-ID": last}) as stream:
            data = next(line for line in stream.iter_lines() if "acknowledged" in line)
        assert json.loads(data.removeprefix("data: "))["sequence"] == int(last) + 1


def test_the_next_free_port_is_taken_where_that_is_asked_for() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match="taken"):
            bind("127.0.0.1", port)
        with bind("127.0.0.1", port, next_free=True) as second:
            assert port < second.getsockname()[1] <= port + 100


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "::zz"])
def test_an_address_that_is_not_this_machines_is_refused_in_a_sentence(host: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on .*:8080"):
        bind(host, 8080)


def test_a_damaged_journal_is_said_in_a_sentence_and_nothing_listens(tmp_path: Path) -> None:
    from edgeai_core.errors import JournalError

    (tmp_path / "journal.sqlite3").write_bytes(b"not a database" * 1000)
    listener = bind("127.0.0.1", 0)
    address = listener.getsockname()
    with pytest.raises(JournalError, match=r"journal\.sqlite3"):
        serve(ServeSettings(state=tmp_path), listener)
    assert not (tmp_path / "run" / "serve.json").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0


def test_half_an_identity_for_tls_is_refused(tmp_path: Path) -> None:
    from edgeai_core.http.server import Server

    for extra in (
        {"tls_key": tmp_path / "key"},
        {"tls_key": tmp_path / "k", "tls_certificate": tmp_path / "c"},
    ):
        settings = ServeSettings(state=tmp_path, **extra)
        with pytest.raises(ConfigError, match="TLS"):
            Server(settings, create_app(settings, ()))


def test_over_tls_the_cookie_is_for_tls_alone(start: Any, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate of this test")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run(
        [*request, "-keyout", str(key), "-out", str(certificate), *subject],
        check=True,
        capture_output=True,
    )
    server = start(tls_certificate=certificate, tls_key=key)
    import ssl

    trusting = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=trusting, timeout=20) as client:
        cookie = client.post("/v1/session", json={"token": server.token("viewer")}).headers["set-cookie"]
        assert "secure" in cookie.lower()
        assert client.get("/v1/loops").status_code == 200
