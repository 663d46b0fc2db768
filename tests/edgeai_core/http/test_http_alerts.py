"""Alerts over HTTP: listed, looked at, posted by devices, acknowledged."""

from __future__ import annotations

from typing import Any

import pytest


def posted(**fields: Any) -> dict[str, Any]:
    return {
        "id": "bed-7-1",
        "device": "bed-7",
        "app": "healthcare",
        "loop": "ecg",
        "code": "VF",
        "subject": "patient-1",
        "priority": "high",
        "title": "Ventricular fibrillation",
        "raised_at": "2026-11-24T03:15:00.250Z",
        "evidence": {"confidence": 0.97, "leads": ["I", "II"]},
    } | fields


def test_alerts_are_listed_newest_first_as_they_stand(server: Any) -> None:
    first = server.change("VF").alert
    second = server.change("ASYSTOLE", evidence={"pause_s": 4.2}).alert
    server.change("VF", holds=False)
    with server.client("viewer") as client:
        page = client.get("/v1/alerts").json()
    assert [alert["id"] for alert in page["alerts"]] == [second.id, first.id]
    assert [alert["state"] for alert in page["alerts"]] == ["raised", "cleared"]
    assert page["alerts"][0] == second.to_json()
    assert page["next_cursor"] is None


def test_pages_hold_every_alert_once_though_more_are_raised_meanwhile(server: Any) -> None:
    ids = [server.change("VF", f"patient-{n}").alert.id for n in range(7)]
    seen: list[str] = []
    cursor = None
    with server.client("viewer") as client:
        while True:
            page = client.get(
                "/v1/alerts", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
            ).json()
            seen += [alert["id"] for alert in page["alerts"]]
            server.change("VF", f"later-{len(seen)}")
            if (cursor := page["next_cursor"]) is None:
                break
    assert seen == ids[::-1]


def test_a_page_of_large_alerts_is_cut_by_its_size_and_goes_on(server: Any) -> None:
    ids = [event.alert.id for event in server.changes(20, samples="x" * 60_000)]
    with server.client("viewer") as client:
        first = client.get("/v1/alerts")
        assert len(first.content) < 1_100_000
        rest = client.get("/v1/alerts", params={"cursor": first.json()["next_cursor"]}).json()
    assert [alert["id"] for alert in first.json()["alerts"] + rest["alerts"]] == ids[::-1]


def test_filters_narrow_the_list(server: Any) -> None:
    server.change("VF")
    server.change("ASYSTOLE", "patient-2")
    server.change("LEAD_OFF", priority="low")
    server.change("VF", holds=False)
    expected = [
        ("code=VF", ["VF"]),
        ("state=raised", ["LEAD_OFF", "ASYSTOLE"]),
        ("state=raised&state=cleared", ["LEAD_OFF", "ASYSTOLE", "VF"]),
        ("active=false", ["VF"]),
        ("acknowledged=true", []),
        ("priority=low&priority=medium", ["LEAD_OFF"]),
        ("subject=patient-2", ["ASYSTOLE"]),
        ("app=healthcare&loop=ecg&device=ward-3&limit=1", ["LEAD_OFF"]),
        ("app=other", []),
        ("since=2100-01-01T00:00:00Z", []),
        ("until=2100-01-01", ["LEAD_OFF", "ASYSTOLE", "VF"]),
    ]
    with server.client("viewer") as client:
        for query, codes in expected:
            found = [alert["code"] for alert in client.get(f"/v1/alerts?{query}").json()["alerts"]]
            assert found == codes, query


@pytest.mark.parametrize(
    "query",
    [
        "state=on",
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=-1",
        "cursor=" + "9" * 30,
        "active=perhaps",
        "since=yesterday",
        "since=9999999-01-01",
        "priority=urgent",
        "stat=raised",
        "code=" + "x" * 301,
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_not_ignored(shared: Any, problem: Any, query: str) -> None:
    with shared.client("viewer") as client:
        assert problem(client.get(f"/v1/alerts?{query}"), 422)["detail"]


def test_one_alert_is_told_with_its_history(shared: Any, problem: Any) -> None:
    alert = shared.change("VF", "history").alert
    shared.change("VF", "history", holds=False)
    with shared.client("viewer") as client:
        told = client.get(f"/v1/alerts/{alert.id}").json()
        assert [(event["kind"], event["by"]) for event in told["events"]] == [
            ("raised", "healthcare.ecg"),
            ("cleared", "healthcare.ecg"),
        ]
        assert told["state"] == "cleared"
        problem(client.get("/v1/alerts/unknown"), 404)
        problem(client.get("/v1/alerts/a%20b"), 422)


def test_the_time_around_an_alert_is_named_with_it_and_served_as_a_file(server: Any, problem: Any) -> None:
    alert = server.change("VF").alert
    with server.client("viewer") as client:
        assert client.get(f"/v1/alerts/{alert.id}").json()["recording"] is None
        problem(client.get(f"/v1/alerts/{alert.id}/recording"), 404)
        (server.state.evidence / f"{alert.id}.mcap").write_bytes(b"\x89MCAP0")
        href = client.get(f"/v1/alerts/{alert.id}").json()["recording"]
        answer = client.get(href)
    assert answer.content == b"\x89MCAP0"
    assert f'filename="{alert.id}.mcap"' in answer.headers["content-disposition"]


def test_acknowledging_again_answers_with_the_first(shared: Any, problem: Any) -> None:
    alert = shared.change("VF", "again").alert
    with shared.client("operator", "anna") as anna, shared.client("operator", "ben") as ben:
        first = anna.post(f"/v1/alerts/{alert.id}/acknowledge", json={})
        again = ben.post(f"/v1/alerts/{alert.id}/acknowledge", json={"by": "B."})
        problem(anna.post("/v1/alerts/unknown/acknowledge"), 404)
    assert first.json() == again.json()
    assert first.json()["kind"] == "acknowledged"
    assert first.json()["alert"]["acknowledged_by"] == "anna"
    assert shared.journal.alert(alert.id).acknowledged_by == "anna"


@pytest.mark.parametrize("body", [{"by": "x" * 81}, {"by": "a\nb"}, {"by": 3}, {"note": "x"}, [], "x"])
def test_a_note_that_makes_no_sense_is_refused(shared: Any, problem: Any, body: Any) -> None:
    alert = shared.change("VF", repr(body)).alert
    with shared.client("operator") as client:
        problem(client.post(f"/v1/alerts/{alert.id}/acknowledge", json=body), 422)
    assert shared.journal.alert(alert.id).acknowledged_at is None


def test_a_devices_alert_is_kept_once_however_often_it_is_sent(server: Any) -> None:
    with server.client("device", "bed-7") as device, server.client("viewer") as viewer:
        first = device.post("/v1/alerts", json=posted())
        again = device.post("/v1/alerts", json=posted())
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        cleared = posted(active=False, cleared_at="2026-11-24T03:16:00Z", updated_at="2026-11-24T03:16:00Z")
        assert device.post("/v1/alerts", json=cleared).json()["kind"] == "cleared"
        [alert] = viewer.get("/v1/alerts?device=bed-7").json()["alerts"]
    assert alert["state"] == "cleared"
    assert alert["evidence"] == {"confidence": 0.97, "leads": ["I", "II"]}


def test_a_device_may_send_what_it_was_told_back_unchanged(server: Any) -> None:
    with server.client("device", "bed-7") as device, server.client("viewer") as viewer:
        event = device.post("/v1/alerts", json=posted(field_of_a_newer_version=1)).json()
        told = viewer.get("/v1/alerts").json()["alerts"][0]
        assert device.post("/v1/alerts", json=told).json() == event


def test_a_device_speaks_for_itself_alone(server: Any, problem: Any) -> None:
    with server.client("device", "bed-8") as device:
        assert "bed-8" in problem(device.post("/v1/alerts", json=posted()), 403)["detail"]
    with server.client("device", "bed-7") as seven, server.client("device", "bed-9") as eight:
        seven.post("/v1/alerts", json=posted())
        problem(eight.post("/v1/alerts", json=posted(device="bed-9")), 409)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": "../x"},
        {"id": None},
        {"priority": "urgent"},
        {"raised_at": "yesterday"},
        {"raised_at": "9" * 60},
        {"active": "perhaps"},
        {"state": "cleared"},
        {"subject": "x" * 301},
        {"subject": ""},
        {"evidence": []},
        {"evidence": {"x": "y" * 70_000}},
        {"monotonic_ns": -1},
        {"monotonic_ns": 2**63},
        {"title": "a\x00b"},
        {"code": 3},
    ],
)
def test_an_alert_that_makes_no_sense_is_refused_and_not_kept(
    shared: Any, problem: Any, fields: dict[str, Any]
) -> None:
    before = shared.journal.last_sequence()
    with shared.client("admin") as client:
        problem(client.post("/v1/alerts", json=posted(**fields)), 422)
    assert shared.journal.last_sequence() == before


def test_what_people_wrote_comes_back_as_it_was(shared: Any) -> None:
    subject = 'Ünï "quoted" \u202e <script>alert(1)</script>'
    shared.change("VF", subject)
    with shared.client("viewer") as client:
        answer = client.get("/v1/alerts", params={"subject": subject})
    assert answer.json()["alerts"][0]["subject"] == subject
    assert answer.headers["x-content-type-options"] == "nosniff"
