"""Babamul: alerts of ZTF and Rubin, enriched by BOOM, in Avro, each with its schema.

Facts: the client babamul 0.2.0.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from voevent.sources.kafka import KafkaCluster


class Babamul(KafkaCluster):
    """Topics of Babamul, such as `babamul.ztf.lsst-match.hosted`."""

    FORMAT: ClassVar[str] = "babamul"

    kind: Literal["babamul"]
    bootstrap: str = "kaboom.caltech.edu:9093"
    tls: bool = False
