"""The Vera C. Rubin Observatory: alert packets in Avro, which name their schema by its number.

Facts: DMTN-093; lsst/alert_packet. The full stream goes to seven brokers; the schemas are read from a directory.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from voevent.sources.kafka import KafkaCluster


class Rubin(KafkaCluster):
    """Topics of Rubin, or of a broker that passes its packets on as they are."""

    FORMAT: ClassVar[str] = "lsst"

    kind: Literal["rubin"]
