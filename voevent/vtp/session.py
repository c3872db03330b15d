"""The law of the three conversations of VTP, as tables: where one stands and what comes tell what to do. Pure.

    author     sends one event, hears ack or nak, is closed
    subscriber is greeted (authenticate), gets events, acknowledges them, answers iamalive
    upstream   another broker, to which this one is a subscriber

Every table is total: it has a row for each signal in each state but CLOSED, in which nothing happens any more.
Source: VOEvent Transport Protocol 2.0, sections 3 and 4; where the standard leaves a choice, what Comet and pygcn do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from voevent.vtp.messages import Role


class State(StrEnum):
    """Where a conversation stands."""

    OPEN = "OPEN"
    """Connected; an author has not sent his event yet."""
    JUDGING = "JUDGING"
    """An event has come and is being stored."""
    CLOSED = "CLOSED"


class Signal(StrEnum):
    """What may come: from the peer, from the archive, from the clock."""

    EVENT = "EVENT"
    """Anything that is no Transport message: whether it is a VOEvent is found out where it is judged."""
    IAMALIVE = "IAMALIVE"
    AUTHENTICATE = "AUTHENTICATE"
    ACK = "ACK"
    NAK = "NAK"
    OVERSIZED = "OVERSIZED"
    """A message over the limit has begun."""
    ACCEPTED = "ACCEPTED"
    """The event is stored."""
    DUPLICATE = "DUPLICATE"
    """It was stored before."""
    REFUSED = "REFUSED"
    """It is invalid, or in conflict with one that is stored."""
    FAILED = "FAILED"
    """It could not be stored; nothing is wrong with it."""
    SILENCE = "SILENCE"
    """The peer did not say in time what it had to say."""


class Action(StrEnum):
    """What is to be done."""

    JUDGE = "JUDGE"
    """Store the event."""
    SEND_ACK = "SEND_ACK"
    SEND_NAK = "SEND_NAK"
    """With the reason."""
    SEND_IAMALIVE = "SEND_IAMALIVE"
    """Return it, with its Origin."""
    SEND_AUTHENTICATE = "SEND_AUTHENTICATE"
    """Return it, with the filters wished for."""
    CONFIGURE = "CONFIGURE"
    """Install the subscriber's filters; begin to catch up, if asked for."""
    NOTE = "NOTE"
    """Only count it."""
    RETRY = "RETRY"
    """Store the event again, after a pause."""
    DROP = "DROP"
    """Cut the connection."""


Table = Mapping[tuple[State, Signal], tuple[State, Action]]

AUTHOR: Final[Table] = {
    (State.OPEN, Signal.EVENT): (State.JUDGING, Action.JUDGE),
    (State.OPEN, Signal.IAMALIVE): (State.CLOSED, Action.SEND_NAK),
    (State.OPEN, Signal.AUTHENTICATE): (State.CLOSED, Action.SEND_NAK),
    (State.OPEN, Signal.ACK): (State.CLOSED, Action.SEND_NAK),
    (State.OPEN, Signal.NAK): (State.CLOSED, Action.SEND_NAK),
    (State.OPEN, Signal.OVERSIZED): (State.CLOSED, Action.SEND_NAK),
    (State.OPEN, Signal.SILENCE): (State.CLOSED, Action.SEND_NAK),
    (State.JUDGING, Signal.ACCEPTED): (State.CLOSED, Action.SEND_ACK),
    (State.JUDGING, Signal.DUPLICATE): (State.CLOSED, Action.SEND_NAK),
    (State.JUDGING, Signal.REFUSED): (State.CLOSED, Action.SEND_NAK),
    (State.JUDGING, Signal.FAILED): (State.CLOSED, Action.SEND_NAK),
}
"""With an author: one event a connection. While an event is judged, nothing is read."""

SUBSCRIBER: Final[Table] = {
    (State.OPEN, Signal.EVENT): (State.OPEN, Action.NOTE),
    (State.OPEN, Signal.IAMALIVE): (State.OPEN, Action.NOTE),
    (State.OPEN, Signal.AUTHENTICATE): (State.OPEN, Action.CONFIGURE),
    (State.OPEN, Signal.ACK): (State.OPEN, Action.NOTE),
    # A subscriber's nak means: drop me.
    (State.OPEN, Signal.NAK): (State.CLOSED, Action.DROP),
    (State.OPEN, Signal.OVERSIZED): (State.CLOSED, Action.DROP),
    (State.OPEN, Signal.SILENCE): (State.CLOSED, Action.DROP),
}
"""With a subscriber, after it was greeted."""

UPSTREAM: Final[Table] = {
    (State.OPEN, Signal.EVENT): (State.OPEN, Action.JUDGE),
    (State.OPEN, Signal.IAMALIVE): (State.OPEN, Action.SEND_IAMALIVE),
    (State.OPEN, Signal.AUTHENTICATE): (State.OPEN, Action.SEND_AUTHENTICATE),
    (State.OPEN, Signal.ACK): (State.OPEN, Action.NOTE),
    (State.OPEN, Signal.NAK): (State.OPEN, Action.NOTE),
    (State.OPEN, Signal.OVERSIZED): (State.OPEN, Action.NOTE),
    (State.OPEN, Signal.SILENCE): (State.CLOSED, Action.DROP),
    # Brokers take a nak for a farewell: what is refused is acknowledged too.
    (State.OPEN, Signal.ACCEPTED): (State.OPEN, Action.SEND_ACK),
    (State.OPEN, Signal.DUPLICATE): (State.OPEN, Action.SEND_ACK),
    (State.OPEN, Signal.REFUSED): (State.OPEN, Action.SEND_ACK),
    (State.OPEN, Signal.FAILED): (State.OPEN, Action.RETRY),
}
"""With a broker that this one has subscribed to. While events are judged, one hears and answers what else it says."""

_BY_ROLE: Final[dict[Role | None, Signal]] = {
    None: Signal.EVENT,
    "iamalive": Signal.IAMALIVE,
    "authenticate": Signal.AUTHENTICATE,
    "ack": Signal.ACK,
    "nak": Signal.NAK,
}


def signal_of(role: Role | None) -> Signal:
    """The signal that a message is; `role` is None for what is no Transport message."""
    return _BY_ROLE[role]


class Session:
    """One conversation, by its table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.state = State.OPEN

    def on(self, signal: Signal) -> Action:
        """What to do about a signal. Raises KeyError for one that cannot come in this state."""
        self.state, action = self._table[self.state, signal]
        return action
