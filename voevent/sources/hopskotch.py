"""SCiMMA's Hopskotch: topics of many groups, whose messages say in a header what they are.

Facts: hop-client 0.13.0. Headers: `_format` (voevent, json, avro, circular, blob, or a group's own), `_test` on tests.
Messages that are older than the headers are JSON objects of a `format` and a `content`.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from voevent.sources.kafka import KafkaStream, Option, Record, scram

SERVER: Final = "kafka.scimma.org:9092"


class Hopskotch(KafkaStream):
    """Topics of Hopskotch. What comes of a message that is marked as a test has the role test."""

    kind: Literal["hopskotch"]
    username: str
    password: str = Field(repr=False)

    def client(self) -> dict[str, Option]:
        """See KafkaStream."""
        return hopskotch_client(self.username, self.password)

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        return "hopskotch"


def hopskotch_client(username: str, password: str) -> dict[str, Option]:
    """How Hopskotch's cluster is reached."""
    return scram(SERVER, username, password, "SCRAM-SHA-512", tls=True)


def is_test(record: Record) -> bool:
    """Whether a message is marked as a test: then only the format of Hopskotch does right by it."""
    return "_test" in record.headers
