"""LIGO, Virgo and KAGRA: gravitational-wave alerts with their sky maps, at GCN (JSON) and at Hopskotch (Avro).

Facts: the LVK Public Alerts User Guide, and igwn-gwalert-schema 1.3.0.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from voevent.sources.gcn import DOMAIN, gcn_client
from voevent.sources.hopskotch import hopskotch_client, is_test
from voevent.sources.kafka import KafkaStream, Option, Record, checked_topic


class IGWN(KafkaStream):
    """The alerts, from the network whose credentials are given: GCN's (client_id) or Hopskotch's (username)."""

    kind: Literal["igwn"]
    topics: tuple[Annotated[str, AfterValidator(checked_topic)], ...] = Field(default=("igwn.gwalert",), min_length=1)
    client_id: str | None = None
    client_secret: str | None = Field(default=None, repr=False)
    domain: str = DOMAIN
    username: str | None = None
    password: str | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        given = [name for name in ("client_id", "client_secret", "username", "password") if getattr(self, name)]
        if given not in (["client_id", "client_secret"], ["username", "password"]):
            raise ValueError("expected client_id and client_secret (of GCN), or username and password (of Hopskotch)")
        return self

    def client(self) -> dict[str, Option]:
        """See KafkaStream."""
        if self.client_id is not None and self.client_secret is not None:
            return gcn_client(self.client_id, self.client_secret, self.domain)
        return hopskotch_client(self.username or "", self.password or "")

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        return "hopskotch" if is_test(record) else "igwn"
