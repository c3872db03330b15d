"""Lasair: what passes the filters that users define there, as JSON.

Facts: https://lasair-lsst.readthedocs.io, "Alert Streams". A filter's topic is named at its page; no password is asked.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from voevent.sources.kafka import KafkaCluster


class Lasair(KafkaCluster):
    """Topics of filters at Lasair: for LSST, or for ZTF with `bootstrap: lasair-ztf-kafka.lsst.ac.uk:9092`."""

    FORMAT: ClassVar[str] = "lasair"

    kind: Literal["lasair"]
    bootstrap: str = "lasair-lsst-kafka.lsst.ac.uk:9092"
    tls: bool = False
