"""The commands about alerts and webhooks, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.alerts import outbox
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.cli.main import execute
from edgeai_core.decision import Condition, Priority
from edgeai_core.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state").create()


def raised(state: State) -> Any:
    journal = Journal(state.journal)
    condition = Condition("VF", "p1", Priority.HIGH)
    event = journal.append([Change(True, "healthcare", "ecg", condition, now(), "abc1", by="ecg")])[0]
    journal.close()
    return event


def test_an_alert_is_silenced_by_the_beginning_of_its_id_and_called_again(state: State, capsys: Any) -> None:
    raised(state)
    where = ["--state", str(state.root)]
    assert execute(["alerts", "silence", "abc", "--for", "60", "--by", "anna", *where]) == 0
    assert "silenced until" in capsys.readouterr().out
    assert execute(["alerts", "silence", "abc", "--for", "600", *where]) == 3
    assert "up to 120 s" in capsys.readouterr().err
    assert execute(["alerts", "silence", "abc", "--for", "0", *where]) == 0
    assert execute(["alerts", "silence", "abc", "--for", "0", *where]) == 1
    assert "it is not silenced" in capsys.readouterr().err


def test_statistics_are_printed_for_people_and_programs(state: State, capsys: Any) -> None:
    raised(state)
    assert execute(["alerts", "statistics", "--state", str(state.root)]) == 0
    assert "raised        1" in capsys.readouterr().out
    assert execute(["alerts", "statistics", "--json", "--state", str(state.root)]) == 0
    assert json.loads(capsys.readouterr().out)["raised"] == 1


def test_a_webhook_is_added_listed_and_removed_and_its_secret_is_shown_once(
    state: State, capsys: Any
) -> None:
    where = ["--state", str(state.root)]
    add = ["webhook", "add", "pager", "http://127.0.0.1:9/x", "--priority", "high", *where]
    assert execute(add) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("whsec_")
    assert execute(["webhook", "list", *where]) == 0
    shown = capsys.readouterr().out
    assert "pager  127.0.0.1:9" in shown
    assert "priorities=high" in shown
    assert secret not in shown
    assert execute(["webhook", "test", "pager", *where]) == 1
    assert "webhook pager: ConnectError" in capsys.readouterr().err
    event = raised(state)
    journal = Journal(state.journal)
    outbox.bury(journal, "pager", event, "it answered 422")
    journal.close()
    assert execute(["webhook", "dead", "pager", *where]) == 0
    assert "it answered 422" in capsys.readouterr().out
    assert execute(["webhook", "retry", "pager", *where]) == 0
    assert execute(["webhook", "discard", "pager", str(event.sequence), *where]) == 0
    assert execute(["webhook", "discard", "pager", str(event.sequence), *where]) == 3
    assert execute(["webhook", "remove", "pager", *where]) == 0
    assert execute(["webhook", "remove", "pager", *where]) == 2
