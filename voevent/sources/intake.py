"""From a stream's messages to stored events: converted, accepted, or kept as refused; then the position is noted.

One message never holds up the next: what cannot be used is kept with the reason and passed over. What is nobody's
fault holds up the source alone: it waits for a database that is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from vo_service.config import Settings
from vo_service.errors import ConfigurationError, ServiceError, UnavailableError
from voevent.archive.insertion import Original
from voevent.archive.store import AlertStore
from voevent.convert import from_stream, media_type, split
from voevent.pipeline import Source, Verdict, accept
from voevent.sources.progress import Progress, Refused

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
"""Seconds before the database is asked again: from the first to the longest, doubled each time."""

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


class SourceError(ServiceError):
    """A stream cannot be read; the message says why. It is tried again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a stream.

    Attributes
    ----------
    part, position
        Where in the stream it is.
    data
        What the archive keeps.
    kind
        One of KINDS_OF_STREAM; None if it is to be passed over.
    stream
        Ivoid of the stream that its alerts belong to.
    origin
        Where the alerts were received from, for the archive.
    headers
        Of the Kafka message.
    """

    part: str
    position: str
    data: bytes
    kind: str | None
    stream: str
    origin: str
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Converted:
    """A packet, and what it was made of; None if the packet is what came."""

    packet: bytes
    original: Original | None


@dataclass
class Condition:
    """How a source is, as far as it knows.

    Attributes
    ----------
    lag
        Messages of the stream that are not read yet; None if that is not known.
    counts
        Packets by what came of them (accepted, duplicate, conflict), and messages that were refused or passed over.
    """

    connected: bool = False
    lag: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    last_error: str | None = None

    def heard(self, lag: int | None) -> None:
        """The stream has answered."""
        self.connected = True
        self.lag = lag

    def failed(self, reason: str) -> None:
        """The stream cannot be read."""
        self.connected = False
        self.last_error = reason


class Intake:
    """Where one source's messages go."""

    def __init__(self, source: str, settings: Settings, store: AlertStore, progress: Progress) -> None:
        self.source = source
        self.authority = settings.authority
        self.condition = Condition()
        self._settings = settings
        self._store = store
        self._progress = progress

    async def positions(self) -> dict[str, str]:
        """What the source reads next, for each part of its stream; nothing if it is new."""
        return await self._until_stored(lambda: self._progress.positions(self.source))

    async def advance(self, positions: Mapping[str, str]) -> None:
        """Note what the source reads next."""
        await self._until_stored(lambda: self._progress.advance(self.source, positions))

    async def take_in(self, messages: Sequence[Message]) -> None:
        """Convert and store messages, in order. When this returns, all are safe: as events, or as refused.

        Raises ConfigurationError if something is missing without which none of the kind can be converted.
        """
        converted = await asyncio.to_thread(lambda: [self._convert(message) for message in messages])
        async with asyncio.TaskGroup() as tasks:
            for message, outcome in zip(messages, converted, strict=True):
                tasks.create_task(self._keep(message, outcome))
                # Others of the process come in between; what is under way meanwhile is stored together.
                await asyncio.sleep(0)

    def _convert(self, message: Message) -> list[_Converted] | str:
        """The packets of a message, or why there are none; any number may come of a message that is an alert."""
        if message.kind is None:
            return []
        try:
            return [
                _Converted(packet, None if packet == data else Original(data, media_type(data)))
                for data in split(message.data, message.kind)
                for packet in from_stream(data, message.kind, message.stream, self._settings, headers=message.headers)
            ]
        except ConfigurationError:
            raise
        except ServiceError as error:
            return error.message
        except Exception as error:  # a fault of ours: the message is kept, and the next one may be better
            log.exception("Source %s: %s %s", self.source, message.part, message.position)
            return f"{type(error).__name__}: {error}"

    async def _keep(self, message: Message, outcome: list[_Converted] | str) -> None:
        if isinstance(outcome, str):
            await self._refuse(message, outcome)
            return
        if not outcome:
            self.condition.counts["passed over"] += 1
        for converted in outcome:
            await self._store_one(message, converted)

    async def _store_one(self, message: Message, converted: _Converted) -> None:
        def store() -> Awaitable[Verdict]:
            return accept(converted.packet, Source("stream", message.origin), self._store, converted.original)

        try:
            verdict = await self._until_stored(store)
        except Exception as error:  # the database does not take it; it is kept as it came
            log.exception("Source %s: %s %s", self.source, message.part, message.position)
            await self._refuse(message, f"{type(error).__name__}: {error}")
            return
        if verdict.status == "invalid":
            await self._refuse(message, verdict.reason)
        else:
            self.condition.counts[verdict.status] += 1

    async def _refuse(self, message: Message, reason: str) -> None:
        self.condition.counts["refused"] += 1
        log.warning("Source %s: refused %s %s: %s", self.source, message.part, message.position, reason)
        refused = Refused(message.part, message.position, message.data, reason)
        await self._until_stored(lambda: self._progress.refuse(self.source, refused))

    async def _until_stored(self, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """Its result, however long the database is away."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await action()
            except UnavailableError as error:
                log.warning("Source %s: %s; again in %g s", self.source, error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
