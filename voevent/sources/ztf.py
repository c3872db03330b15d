"""The Zwicky Transient Facility: alert packets in Avro, each with its schema.

Facts: ZwickyTransientFacility/ztf-avro-alert. The full stream goes to brokers; their addresses are agreed with ZTF.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from voevent.sources.kafka import KafkaCluster


class ZTF(KafkaCluster):
    """Topics of ZTF, one for each night: `^ztf_`."""

    FORMAT: ClassVar[str] = "ztf"

    kind: Literal["ztf"]
    tls: bool = False
