"""Tokens are random, kept as hashes, and end when they are told to."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from edgeai_core.errors import ConfigError
from edgeai_core.http.tokens import (
    MAX_SESSIONS_EACH,
    Role,
    TokenStore,
    create_token,
    list_tokens,
    revoke_token,
)
from edgeai_core.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state").create()


def test_what_is_kept_does_not_hold_the_token_and_is_the_owners_alone(state: State) -> None:
    secret = create_token(state, "ward-3", "operator")
    kept = state.tokens.read_text()
    assert secret not in kept
    assert secret.rsplit("_", 1)[-1] not in kept
    assert stat.S_IMODE(state.tokens.stat().st_mode) == 0o600


def test_a_token_is_256_random_bits_and_no_two_are_alike(state: State) -> None:
    secrets = {create_token(state, f"t{n}", Role.VIEWER).split("_", 2)[2] for n in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {43}  # 256 bits in base 64


def test_a_token_is_found_with_its_role_and_nothing_near_it_is(state: State) -> None:
    secret = create_token(state, "ward-3", "operator")
    store = TokenStore(state.tokens)
    found = store.find(secret)
    assert found is not None
    assert (found.name, found.role) == ("ward-3", Role.OPERATOR)
    other = create_token(state, "ward-4", "operator")
    mixed = secret[:24] + other[24:]
    for wrong in (
        "",
        secret[:-1],
        secret + "A",
        secret.upper(),
        mixed,
        secret[:-2] + "\u0131A",
        " " + secret,
    ):
        assert store.find(wrong) is None


def test_tokens_made_and_revoked_by_another_process_count_at_once(state: State) -> None:
    store = TokenStore(state.tokens)
    secret = create_token(state, "ward-3", "viewer")
    token = store.find(secret)
    assert token is not None
    assert store.holds(token.id)
    revoke_token(state, "ward-3")
    assert store.find(secret) is None
    assert not store.holds(token.id)


def test_tokens_are_listed_by_name_and_revoked_by_name_or_id(state: State) -> None:
    create_token(state, "a", "viewer")
    create_token(state, "b", "device")
    assert [(token.name, token.role) for token in list_tokens(state)] == [("a", "viewer"), ("b", "device")]
    assert revoke_token(state, list_tokens(state)[1].id).name == "b"
    with pytest.raises(ConfigError, match="there is no token 'b'"):
        revoke_token(state, "b")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "-a", "a" * 65, "ä", "a/b"])
def test_a_malformed_name_is_refused(state: State, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be named"):
        create_token(state, name, "viewer")


def test_a_taken_name_and_an_unknown_role_are_refused(state: State) -> None:
    create_token(state, "a", "viewer")
    with pytest.raises(ConfigError, match="exists"):
        create_token(state, "a", "viewer")
    with pytest.raises(ConfigError, match="viewer, operator, admin, device"):
        create_token(state, "b", "root")


def test_a_session_ends_by_time_at_sign_out_and_with_its_token(state: State) -> None:
    now_s = [1000.0]
    store = TokenStore(state.tokens, lambda: now_s[0])
    parent = store.find(create_token(state, "a", "viewer"))
    assert parent is not None
    by_time, by_hand, by_token = (store.open_session(parent, 60.0) for _ in range(3))
    signed_out = store.find(by_hand)
    assert signed_out is not None
    store.close_session(signed_out.id)
    assert store.find(by_hand) is None
    now_s[0] = 1059.0
    assert store.find(by_time) is not None
    now_s[0] = 1060.0
    assert store.find(by_time) is None
    now_s[0] = 1000.0
    revoke_token(state, "a")
    assert store.find(by_token) is None
    assert list_tokens(state) == []


def test_signing_in_without_end_keeps_a_bounded_number_of_sessions(state: State) -> None:
    store = TokenStore(state.tokens)
    parent = store.find(create_token(state, "a", "viewer"))
    assert parent is not None
    sessions = [store.open_session(parent, 60.0) for _ in range(MAX_SESSIONS_EACH + 3)]
    assert [store.find(each) is not None for each in sessions] == [False] * 3 + [True] * MAX_SESSIONS_EACH


def test_a_file_that_others_can_write_lets_nobody_in(state: State) -> None:
    secret = create_token(state, "a", "viewer")
    os.chmod(state.tokens, 0o666)
    assert TokenStore(state.tokens).find(secret) is None
    with pytest.raises(ConfigError, match="others can write"):
        list_tokens(state)


@pytest.mark.parametrize("text", ["not toml [", "token = 3", "[[token]]\nid = 1", '[[token]]\nrole = "root"'])
def test_a_damaged_file_lets_nobody_in_and_says_why(state: State, text: str) -> None:
    secret = create_token(state, "a", "viewer")
    state.tokens.write_text(text)
    assert TokenStore(state.tokens).find(secret) is None
    with pytest.raises(ConfigError, match=r"tokens\.toml: not a file of tokens"):
        list_tokens(state)


def test_tokens_made_at_the_same_time_are_all_kept(state: State) -> None:
    threads = [threading.Thread(target=create_token, args=(state, f"t{n}", "viewer")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_tokens(state)) == 8
