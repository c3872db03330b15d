"""The tables of the three conversations: total, and as the peers expect it."""

from __future__ import annotations

import pytest

from voevent.vtp.messages import ROLES
from voevent.vtp.session import AUTHOR, SUBSCRIBER, UPSTREAM, Action, Session, Signal, State, Table, signal_of

FROM_PEER = {
    Signal.EVENT,
    Signal.IAMALIVE,
    Signal.AUTHENTICATE,
    Signal.ACK,
    Signal.NAK,
    Signal.OVERSIZED,
    Signal.SILENCE,
}
FROM_ARCHIVE = {Signal.ACCEPTED, Signal.DUPLICATE, Signal.REFUSED, Signal.FAILED}


@pytest.mark.parametrize("table", [AUTHOR, SUBSCRIBER, UPSTREAM])
def test_tables_are_total(table: Table) -> None:
    states = {state for state, _ in table}
    assert State.CLOSED not in states
    # From upstream one hears more while an event is judged.
    at_once = FROM_ARCHIVE if table is UPSTREAM else set()
    assert {signal for state, signal in table if state is State.OPEN} == FROM_PEER | at_once
    if State.JUDGING in states:
        assert {signal for state, signal in table if state is State.JUDGING} == FROM_ARCHIVE


@pytest.mark.parametrize("table", [AUTHOR, SUBSCRIBER, UPSTREAM])
def test_every_state_is_reached(table: Table) -> None:
    assert {state for state, _ in table} <= {State.OPEN} | {after for after, _ in table.values()}


def test_an_author_hears_one_answer_and_is_closed() -> None:
    for signal in FROM_PEER - {Signal.EVENT}:
        session = Session(AUTHOR)
        assert session.on(signal) is Action.SEND_NAK
        assert session.state is State.CLOSED
    expected = dict.fromkeys(FROM_ARCHIVE, Action.SEND_NAK) | {Signal.ACCEPTED: Action.SEND_ACK}
    for signal, answer in expected.items():
        session = Session(AUTHOR)
        assert session.on(Signal.EVENT) is Action.JUDGE
        assert session.on(signal) is answer
        assert session.state is State.CLOSED


def test_an_upstream_broker_never_hears_a_nak() -> None:
    assert Action.SEND_NAK not in {action for _, action in UPSTREAM.values()}
    session = Session(UPSTREAM)
    for signal in (Signal.ACCEPTED, Signal.DUPLICATE, Signal.REFUSED):
        assert session.on(Signal.EVENT) is Action.JUDGE
        assert session.on(signal) is Action.SEND_ACK
        assert session.state is State.OPEN


def test_an_event_from_upstream_is_tried_until_it_is_stored() -> None:
    session = Session(UPSTREAM)
    session.on(Signal.EVENT)
    assert [session.on(Signal.FAILED), session.on(Signal.FAILED), session.on(Signal.ACCEPTED)] == [
        Action.RETRY,
        Action.RETRY,
        Action.SEND_ACK,
    ]


def test_a_subscriber_leaves_by_a_nak_or_by_silence() -> None:
    dropped = {signal for (_, signal), (after, _) in SUBSCRIBER.items() if after is State.CLOSED}
    assert dropped == {Signal.NAK, Signal.OVERSIZED, Signal.SILENCE}


def test_nothing_happens_after_the_end() -> None:
    session = Session(SUBSCRIBER)
    session.on(Signal.NAK)
    with pytest.raises(KeyError):
        session.on(Signal.ACK)


def test_messages_are_signals() -> None:
    assert [signal_of(role) for role in ROLES] == [Signal.IAMALIVE, Signal.AUTHENTICATE, Signal.ACK, Signal.NAK]
    assert signal_of(None) is Signal.EVENT
