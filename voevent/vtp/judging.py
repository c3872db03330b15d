"""What the archive says of a packet, as a signal of the session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from vo_service.errors import ServiceError
from voevent.pipeline import Source, Verdict
from voevent.vtp.session import Signal

Accept = Callable[[bytes, Source], Awaitable[Verdict]]
"""Takes in a packet; when it returns, an accepted one is safe. Raises ServiceError if that is not possible now."""

_SIGNALS: Final = {
    "accepted": Signal.ACCEPTED,
    "duplicate": Signal.DUPLICATE,
    "conflict": Signal.REFUSED,
    "invalid": Signal.REFUSED,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a packet, `failed` included: then nothing is known of it.

    Attributes
    ----------
    outcome
        The status of the verdict, or failed.
    fault
        Whether it failed by something that nobody has thought of, and is likely to do so again.
    """

    signal: Signal
    outcome: str
    ivoid: str | None
    reason: str
    event_id: int | None = None
    fault: bool = False


async def judge(accept: Accept, raw: bytes, source: Source) -> Judgement:
    """Hand a packet to the archive.

    An error that nobody has thought of is logged with its traceback, and counts as a failure: the packet that causes it
    must not end the conversations with others.
    """
    try:
        verdict = await accept(raw, source)
    except ServiceError as error:
        log.warning("A packet of %s was not stored: %s", source, error.message)
        return Judgement(Signal.FAILED, "failed", None, f"Not stored; send it again later: {error.message}")
    except Exception:
        log.exception("A packet of %s was not stored", source)
        reason = "Not stored, by a fault of the broker; send it again later"
        return Judgement(Signal.FAILED, "failed", None, reason, fault=True)
    return Judgement(_SIGNALS[verdict.status], verdict.status, verdict.ivoid, verdict.reason, verdict.event_id)
