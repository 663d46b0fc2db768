"""Whatever comes over the wire, the answer is a problem document, and the server goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20


def raw(server: Any, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body once the server has closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def test_ten_mebibytes_are_refused_and_the_reason_is_read(shared: Any, problem: Any) -> None:
    body = b'{"x": "' + b"y" * (10 * MEGABYTE) + b'"}'
    with shared.client("device", "d1") as client:
        assert "larger than" in problem(client.post("/v1/alerts", content=body, headers=JSON), 413)["detail"]
        assert client.get("/healthz").status_code == 200


def test_ten_mebibytes_in_chunks_without_a_length_are_refused_too(shared: Any, problem: Any) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"y" * 65536 for _ in range(160))

    with shared.client("device", "d2") as client:
        problem(client.post("/v1/alerts", content=chunks(), headers=JSON), 413)


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(start: Any, problem: Any) -> None:
    server = start(max_body_bytes=2048)
    with server.client("device", "d") as client:
        problem(client.post("/v1/alerts", content=b'"' + b"x" * 2046 + b'"', headers=JSON), 422)
        problem(client.post("/v1/alerts", content=b'"' + b"x" * 2047 + b'"', headers=JSON), 413)


def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_sent(shared: Any) -> None:
    head = (
        f"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.token('device', 'd3')}\r\n"
        f"Expect: 100-continue\r\nContent-Length: {2 << 30}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_of_somebody_unknown_no_body_is_read_but_a_small_one_to_sign_in(shared: Any, problem: Any) -> None:
    with shared.client(None) as client:
        problem(client.post("/v1/alerts", content=b"x" * MEGABYTE, headers=JSON), 401)
        problem(client.post("/v1/session", json={"token": "x" * 5000}), 413)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": "\\ud800"}',
        b'{"monotonic_ns": ' + b"9" * 5000 + b"}",
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b'{"id": {"id": {"id": []}}}',
        b'{"evidence": {"\\u0000": 1}}',
    ],
)
def test_json_that_is_none_too_deep_or_of_the_wrong_kind_is_refused(
    shared: Any, problem: Any, body: bytes
) -> None:
    with shared.client("device") as client:
        answer = client.post("/v1/alerts", content=body, headers=JSON)
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)


def test_json_under_another_name_is_refused(shared: Any, problem: Any) -> None:
    with shared.client("device") as client:
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "x",
        ):
            problem(client.post("/v1/alerts", content=b"{}", headers={"Content-Type": kind}), 422)
        problem(client.post("/v1/alerts", content=b"{}"), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/alerts"), ("PUT", "/v1/alerts/x"), ("POST", "/v1/loops"), ("HEAD", "/metrics")],
)
def test_a_wrong_method_is_told_the_right_ones(shared: Any, method: str, path: str) -> None:
    with shared.client("admin") as client:
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"]
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no Host
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000,  # a head without an end
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS spoken to a plain port
        b"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_problem_document(shared: Any, request_: bytes) -> None:
    status, headers, body = raw(shared, request_)
    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == 400


def test_a_broken_chunk_in_a_body_ends_the_connection_alone(shared: Any) -> None:
    token = shared.token("device")
    head = f"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, _ = raw(shared, head.encode() + b"zz\r\nnonsense\r\n")
    assert status == 400
    with shared.client(None) as client:
        assert client.get("/healthz").status_code == 200


def test_a_long_address_and_a_large_header_are_refused(shared: Any, problem: Any) -> None:
    with shared.client("viewer") as client:
        problem(client.get("/v1/alerts?code=" + "x" * 5000), 414)
        problem(client.get("/healthz", headers={"X": "y" * 20_000}), 431)
        problem(client.get("/healthz", headers=[(f"X-{n}", "y") for n in range(120)]), 431)


def test_a_request_that_does_not_come_to_its_end_is_cut(start: Any) -> None:
    server = start(request_timeout_s=0.1)
    token = server.token("device")
    head = (
        f"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n"
    )
    assert raw(server, head.encode() + b"{")[0] == 408
    for silent in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(silent)
            assert connection.recv(100) == b""


def test_a_second_request_that_does_not_come_to_its_end_is_cut_too(start: Any) -> None:
    server = start(request_timeout_s=0.1)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request + b"\r\n")
        assert b"200" in connection.recv(65536)
        connection.sendall(request)
        assert b"HTTP" not in b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_client_that_reads_nothing_is_dropped(start: Any) -> None:
    server = start(send_timeout_s=0.1)
    server.changes(60, samples="x" * 60_000)
    request = f"GET /v1/alerts/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token()}\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request.encode() + b"Last-Event-ID: 0\r\n\r\n")
        with server.client("viewer") as client:
            while "edgeai_http_streams_open 0.0" not in client.get("/metrics").text:
                pass  # the test's time limit is the only one


def test_one_connection_too_many_is_told_so(start: Any) -> None:
    server = start(max_connections=4)
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(4)]
    for connection in held:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in connection.recv(65536)
    status, headers, _ = raw(server, b"")
    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    for connection in held:
        connection.close()


def test_a_failure_of_ours_is_a_problem_without_a_word_of_the_code(
    shared: Any, problem: Any, monkeypatch: Any
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret_variable / 0")

    monkeypatch.setattr("edgeai_core.http.alerts.encode", fail)
    alert = shared.change("VF", "failure").alert
    with shared.client("viewer") as client:
        answer = client.get(f"/v1/alerts/{alert.id}")
    assert "secret_variable" not in answer.text
    problem(answer, 500)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_journal_that_fails_is_said_to_be_unavailable(shared: Any, problem: Any, monkeypatch: Any) -> None:
    from edgeai_core.alerts.journal import Journal
    from edgeai_core.errors import JournalError

    def full(*_: Any, **__: Any) -> Any:
        raise JournalError("the disk is full: make room")

    alert = shared.change("VF", "full").alert
    monkeypatch.setattr(Journal, "acknowledge", full)
    with shared.client("operator") as client:
        answer = client.post(f"/v1/alerts/{alert.id}/acknowledge")
    assert "disk is full" in problem(answer, 503)["detail"]
    assert answer.headers["retry-after"]


def test_every_answer_forbids_what_a_page_does_not_need(shared: Any) -> None:
    with shared.client("viewer") as client:
        for path in ("/", "/v1/alerts", "/nothing", "/healthz"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "server" not in headers
            assert "access-control-allow-origin" not in headers


_segment = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
_header = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40).map(str.strip)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_paths = [
    "/v1/alerts",
    "/v1/alerts/x/acknowledge",
    "/v1/session",
    "/v1/live/x",
    "/v1/loops",
    "/metrics",
    "/nothing",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    path=st.sampled_from(_paths)
    | st.lists(_segment, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    query=st.dictionaries(
        st.sampled_from(["cursor", "limit", "state", "since", "topics", "zz"]), _segment, max_size=3
    ),
    headers=st.dictionaries(
        st.sampled_from(
            ["Last-Event-ID", "Cookie", "Origin", "Content-Type", "Sec-Fetch-Site", "X-Forwarded-For"]
        ),
        _header,
        max_size=3,
    ),
    body=_json.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60),
)
def test_no_request_whatever_makes_the_server_fail(
    admin: httpx.Client, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    from urllib.parse import quote

    try:
        answer = admin.request(method, quote(path), params=query, headers={**JSON, **headers}, content=body)
    except httpx.InvalidURL:
        return
    assert answer.status_code < 500, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


@pytest.fixture
def admin(shared: Any) -> Iterator[httpx.Client]:
    with shared.client("admin") as client:
        yield client
