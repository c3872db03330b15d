"""ANTARES of NOIRLab: what passes the filters there, as loci in JSON.

Facts: public consumers of kafka.antares.noirlab.edu (SASL PLAIN over TLS). NOIRLab gives names, passwords, and the file
of its certificate authority, which goes under `options` as `ssl.ca.location`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from voevent.sources.kafka import KafkaCluster


class ANTARES(KafkaCluster):
    """Topics of ANTARES."""

    FORMAT: ClassVar[str] = "antares"

    kind: Literal["antares"]
    bootstrap: str = "kafka.antares.noirlab.edu:9092"
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "PLAIN"
