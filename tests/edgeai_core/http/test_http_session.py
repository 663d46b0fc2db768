"""The page signs in with a token and gets a cookie that scripts and other sites cannot use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from edgeai_core.http.auth import SlowDown
from edgeai_core.http.tokens import revoke_token


def test_a_person_signs_in_looks_acknowledges_and_signs_out(server: Any, problem: Any) -> None:
    token = server.token("operator", "ward-3-desk")
    alert = server.change().alert
    with server.client(None, headers={"Origin": server.url}) as client:
        assert client.get("/v1/session").json() == {"name": None, "role": None, "via": "nobody"}
        signed_in = client.post("/v1/session", json={"token": token})
        assert signed_in.json() == {"name": "ward-3-desk", "role": "operator", "via": "cookie"}
        assert client.get("/v1/session").json()["via"] == "cookie"
        assert client.get("/v1/alerts").json()["alerts"][0]["id"] == alert.id
        done = client.post(f"/v1/alerts/{alert.id}/acknowledge", json={"by": "Night shift"})
        assert done.json()["alert"]["acknowledged_by"] == "Night shift (ward-3-desk)"
        cookie = client.cookies["edgeai_session"]
        client.delete("/v1/session")
        problem(client.get("/v1/alerts"), 401)
        problem(client.get("/v1/alerts", headers={"Cookie": f"edgeai_session={cookie}"}), 401)


def test_the_cookie_is_for_this_site_alone_out_of_reach_of_scripts_and_not_the_token(shared: Any) -> None:
    token = shared.token("viewer")
    with shared.client(None) as client:
        cookie = client.post("/v1/session", json={"token": token}).headers["set-cookie"]
    attributes = {part.strip().partition("=")[0].lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite", "path", "max-age"} <= attributes
    assert "samesite=strict" in cookie.lower()
    assert token not in cookie
    assert token.rsplit("_", 1)[-1] not in cookie


def test_a_cookie_changes_nothing_without_the_pages_own_origin(server: Any, problem: Any) -> None:
    alert = server.change().alert
    path = f"/v1/alerts/{alert.id}/acknowledge"
    with server.client(None) as client:
        client.post("/v1/session", json={"token": server.token("operator")})
        problem(client.post(path), 403)
        problem(client.post(path, headers={"Origin": "https://evil.example"}), 403)
        problem(client.delete("/v1/session", headers={"Origin": "https://evil.example"}), 403)
        problem(client.get("/v1/alerts", headers={"Sec-Fetch-Site": "cross-site"}), 403)
        assert client.post(path, headers={"Origin": server.url}).status_code == 200


def test_a_session_ends_with_its_token(server: Any, problem: Any) -> None:
    with server.client(None) as client:
        client.post("/v1/session", json={"token": server.token("viewer", "screen")})
        assert client.get("/v1/loops").status_code == 200
        revoke_token(server.state, "screen")
        problem(client.get("/v1/loops"), 401)


def test_a_wrong_token_and_a_devices_token_do_not_sign_in(shared: Any, problem: Any) -> None:
    device = shared.token("device")
    with shared.client(None) as client:
        assert "set-cookie" not in client.post("/v1/session", json={"token": "edgeai_wrong"}).headers
        problem(client.post("/v1/session", json={"token": "edgeai_wrong"}), 401)
        problem(client.post("/v1/session", json={"token": device}), 403)
        document = problem(client.post("/v1/session", json={"token": "x" * 300}), 422)
        assert "xxx" not in str(document)


def test_a_session_is_no_bearer_token_and_opens_no_further_session(shared: Any, problem: Any) -> None:
    with shared.client(None) as client:
        client.post("/v1/session", json={"token": shared.token("viewer")})
        secret = client.cookies["edgeai_session"]
        client.cookies.clear()
        problem(client.get("/v1/loops", headers={"Authorization": f"Bearer {secret}"}), 401)
        problem(client.post("/v1/session", json={"token": secret}), 401)


def test_a_session_that_cannot_be_kept_is_refused_and_the_reason_is_logged(
    shared: Any, problem: Any, monkeypatch: Any, caplog: Any
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    token = shared.token("viewer")
    monkeypatch.setattr("edgeai_core.private_file.os.replace", full)
    with shared.client(None) as client:
        problem(client.post("/v1/session", json={"token": token}), 503)
        assert (
            client.get("/v1/session", headers={"Authorization": f"Bearer {token}"}).json()["role"] == "viewer"
        )
    assert "No space left" in caplog.text


def test_each_wrong_token_waits_longer_but_no_more_than_a_bound() -> None:
    slow_down = SlowDown(0.25)
    waits = [slow_down.wait_s(failures) for failures in range(1, 100)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(waits) == 4.0


def test_too_many_who_wait_at_once_are_sent_away_without_a_wait() -> None:
    async def flood() -> list[BaseException | None]:
        slow_down = SlowDown(3600.0)
        tasks = [asyncio.create_task(slow_down.wrong("192.0.2.7")) for _ in range(40)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return [task.exception() for task in done]

    errors = asyncio.run(flood())
    assert len(errors) == 8
    assert all(isinstance(error, HTTPException) and error.status_code == 429 for error in errors)


def test_a_right_token_is_served_while_wrong_ones_wait(start: Any) -> None:
    server = start(wrong_token_delay_s=1)

    async def both() -> bool:
        import httpx

        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            wrong = asyncio.create_task(client.get("/v1/loops", headers={"Authorization": "Bearer wrong"}))
            right = await client.get("/v1/loops", headers={"Authorization": f"Bearer {server.token()}"})
            assert right.status_code == 200
            waited = not wrong.done()
            wrong.cancel()
            await asyncio.gather(wrong, return_exceptions=True)
            return waited

    assert asyncio.run(both())


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site", "Origin": "null"}]
)
def test_another_site_cannot_sign_a_browser_in(shared: Any, problem: Any, headers: dict[str, str]) -> None:
    with shared.client(None) as client:
        problem(client.post("/v1/session", json={"token": shared.token()}, headers=headers), 403)
