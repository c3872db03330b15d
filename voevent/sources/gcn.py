"""NASA's General Coordinates Network: notices of many missions in JSON or VOEvent, and the Circulars.

Facts: https://gcn.nasa.gov/docs/client (credentials of the kind "client credentials" of OpenID Connect), and the client
gcn-kafka 0.3.4.
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from voevent.sources.kafka import KafkaStream, Option, Record

DOMAIN: Final = "gcn.nasa.gov"

_UNREADABLE: Final = ("gcn.classic.text.", "gcn.classic.binary.")


class GCN(KafkaStream):
    """Topics of GCN.

    Attributes
    ----------
    client_id, client_secret
        Of the credentials that GCN gives.
    domain
        `test.gcn.nasa.gov` for GCN's own tests.
    """

    kind: Literal["gcn"]
    client_id: str
    client_secret: str = Field(repr=False)
    domain: str = DOMAIN

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for topic in self.topics:
            if topic.startswith(_UNREADABLE):
                raise ValueError(f"{topic} is not read: GCN has the same notices as VOEvents in gcn.classic.voevent.*")
        return self

    def client(self) -> dict[str, Option]:
        """See KafkaStream."""
        return gcn_client(self.client_id, self.client_secret, self.domain)

    def format_of(self, record: Record) -> str | None:
        """See KafkaStream."""
        topic = record.topic
        if topic == "gcn.heartbeat" or topic.startswith(_UNREADABLE):
            return None
        if topic == "gcn.circulars":
            return "circular"
        if topic == "igwn.gwalert":
            return "igwn"
        return "gcn-voevent" if "voevent" in topic.split(".") else "gcn"


def gcn_client(client_id: str, client_secret: str, domain: str) -> dict[str, Option]:
    """How GCN's cluster is reached: librdkafka fetches tokens, and new ones in time."""
    return {
        "bootstrap.servers": f"kafka.{domain}",
        "security.protocol": "sasl_ssl",
        "sasl.mechanisms": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": client_id,
        "sasl.oauthbearer.client.secret": client_secret,
        "sasl.oauthbearer.token.endpoint.url": f"https://auth.{domain}/oauth2/token",
    }
