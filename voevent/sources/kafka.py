"""Kafka: what all of its sources have in the file of alerts, and any cluster as a source.

The settings say how a cluster is reached, in the words of librdkafka, and what its messages are; `consumer` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from voevent.convert import KINDS_OF_STREAM
from voevent.sources.stream import StreamSettings

Option = str | int | float | bool
"""A value of librdkafka's configuration."""

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Record:
    """A message of a topic, and where in it the message is."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]


def checked_topic(name: str) -> str:
    """The name of a topic, or ^ and a regular expression; raises ValueError if it is neither."""
    if name.startswith("^"):
        try:
            re.compile(name)
        except re.error as error:
            raise ValueError(f"expected a regular expression after ^, and {name!r} is none: {error}") from None
    elif not _TOPIC.fullmatch(name):
        raise ValueError(f"expected the name of a topic, or a regular expression that begins with ^, got {name!r}")
    return name


def _format(name: str) -> str:
    if name not in KINDS_OF_STREAM:
        raise ValueError(f"expected one of {', '.join(KINDS_OF_STREAM)}, got {name!r}")
    return name


class KafkaStream(StreamSettings):
    """Some topics of a Kafka cluster.

    Attributes
    ----------
    topics
        Their names. One that begins with ^ is a regular expression, for all topics whose names begin like it.
    start
        Where a source that is new begins: with the messages to come, or with the oldest that the cluster has. Topics
        and partitions that appear later are read from their beginning.
    options
        Of librdkafka; they have precedence over what the source says.
    """

    topics: tuple[Annotated[str, AfterValidator(checked_topic)], ...] = Field(min_length=1)
    start: Literal["newest", "oldest"] = "newest"
    options: Mapping[str, Option] = Field(default={}, repr=False)

    def client(self) -> dict[str, Option]:
        """How the cluster is reached: librdkafka's configuration, without `options`."""
        raise NotImplementedError

    def format_of(self, record: Record) -> str | None:
        """What a message is, one of KINDS_OF_STREAM; None if it is to be passed over."""
        raise NotImplementedError

    def content(self, record: Record) -> bytes:
        """The notice in a message, whole: what the archive keeps."""
        return record.value

    def wants(self, topic: str) -> bool:
        """Whether a topic of the cluster is one of these."""
        return any(re.match(name, topic) if name.startswith("^") else name == topic for name in self.topics)


class KafkaCluster(KafkaStream):
    """Topics of one format at a cluster that asks for a name and password, or for nothing.

    Attributes
    ----------
    bootstrap
        HOST:PORT of one of its brokers, or of several, separated by commas.
    tls
        Whether connections are encrypted, and the cluster's certificate is checked.
    """

    FORMAT: ClassVar[str]

    bootstrap: str
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    tls: bool = True

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("expected a username and a password, or neither")
        return self

    def client(self) -> dict[str, Option]:
        """See KafkaStream."""
        if self.username is None or self.password is None:
            return {"bootstrap.servers": self.bootstrap, "security.protocol": "ssl" if self.tls else "plaintext"}
        return scram(self.bootstrap, self.username, self.password, self.mechanism, tls=self.tls)

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        return self.FORMAT


class Kafka(KafkaCluster):
    """Any cluster; `format` says what its messages are."""

    kind: Literal["kafka"]
    format: Annotated[str, AfterValidator(_format)]

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        return self.format


def scram(bootstrap: str, username: str, password: str, mechanism: str, *, tls: bool) -> dict[str, Option]:
    """Configuration of a client with a name and password."""
    return {
        "bootstrap.servers": bootstrap,
        "security.protocol": "sasl_ssl" if tls else "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": username,
        "sasl.password": password,
        # Clusters allow a user the groups that begin with the user's name, if any.
        "group.id": f"{username}-vo-service",
    }


def headers_of(pairs: Sequence[tuple[str, Any]] | None) -> dict[str, bytes]:
    """The headers of a message as confluent_kafka gives them; the last of a name counts."""
    return {name: value if isinstance(value, bytes) else str(value or "").encode() for name, value in pairs or ()}
