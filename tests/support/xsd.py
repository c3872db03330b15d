"""The schemas of the IVOA as a judge."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree


def complaints(document: bytes, shared: Path) -> list[str]:
    """What the schemas find wrong with a document."""
    schema = _schema(shared / "conformance" / "xsd" / "ivoa-all.xsd")
    schema.validate(etree.fromstring(document))
    return [str(entry) for entry in schema.error_log]  # type: ignore[attr-defined]


@cache
def _schema(path: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(path))
