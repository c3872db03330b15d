"""SNEWS 2.0: alerts of a supernova in our Galaxy, and what single experiments report, over Hopskotch.

Facts: snews-pt 3.0.0 and snews-data-formats 1.1.1; fire drills have topics of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from voevent.sources.hopskotch import Hopskotch, is_test
from voevent.sources.kafka import Record, checked_topic


class SNEWS(Hopskotch):
    """Topics of SNEWS; its alerts, if none are named."""

    kind: Literal["snews"]  # type: ignore[assignment]  # narrower by another word
    topics: tuple[Annotated[str, AfterValidator(checked_topic)], ...] = Field(default=("snews2.alert",), min_length=1)

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        return "hopskotch" if is_test(record) else "snews"
