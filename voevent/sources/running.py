"""All sources of a process, each in a task of its own: what fails is tried again, and harms no other."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.errors import ServiceError
from voevent.archive.store import AlertStore
from voevent.sources.consumer import KafkaReading, confluent_kafka
from voevent.sources.intake import Intake
from voevent.sources.progress import Progress
from voevent.sources.settings import SourceSettings
from voevent.sources.tns import TNS, TNSPolling

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a source is read again: from the first to the longest, doubled each time and spread by a quarter."""

log = logging.getLogger(__name__)


class Reading(Protocol):
    """A source being read."""

    async def follow(self) -> None:
        """Take in what comes, without end. Raises ServiceError if the source cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is.

    Attributes
    ----------
    lag
        Messages that are not read yet; None if that is not known.
    counts
        Packets by what came of them (accepted, duplicate, conflict), and messages that were refused or passed over.
    last_error
        Why it could not be read the last time that it could not.
    """

    name: str
    kind: str
    connected: bool
    lag: int | None
    counts: Mapping[str, int]
    last_error: str | None


class Sources:
    """The sources that the file of alerts names.

    Raises ConfigurationError if one needs a library that is not installed.
    """

    def __init__(
        self, settings: Settings, sources: Sequence[SourceSettings], store: AlertStore, access: Access
    ) -> None:
        if any(source.kind != "tns" for source in sources):
            confluent_kafka()
        self._sources = sources
        self._progress = Progress(access)
        self._intakes = {source.name: Intake(source.name, settings, store, self._progress) for source in sources}

    async def run(self) -> None:
        """Read all of them, without end."""
        async with self._progress, asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(self._keep_reading(source))

    def state(self) -> list[SourceState]:
        """How each of them is."""
        return [self._state(source) for source in self._sources]

    def _state(self, source: SourceSettings) -> SourceState:
        now = self._intakes[source.name].condition
        return SourceState(source.name, source.kind, now.connected, now.lag, dict(now.counts), now.last_error)

    async def _keep_reading(self, source: SourceSettings) -> None:
        """Read one; again after each failure, after growing pauses."""
        intake = self._intakes[source.name]
        pause = FIRST_PAUSE
        while True:
            try:
                await _reading(source, intake).follow()
            except ServiceError as error:
                reason = error.message
                log.warning("Source %s: %s", source.name, reason)
            except Exception as error:  # a fault of ours in one source is no reason to stop the others
                reason = f"{type(error).__name__}: {error}"
                log.exception("Source %s", source.name)
            if intake.condition.connected:
                pause = FIRST_PAUSE
            intake.condition.failed(reason)
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 (spreads attempts, hides nothing)
            pause = min(2 * pause, LONGEST_PAUSE)


def _reading(source: SourceSettings, intake: Intake) -> Reading:
    return TNSPolling(source, intake) if isinstance(source, TNS) else KafkaReading(source, intake)
