"""Documents that need no running service, against the IVOA's schemas."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from conesearch.capabilities import ConeSearchCapability
from tap.capabilities import tap_capabilities
from tests.support.documents import written
from tests.support.xsd import complaints
from vo_service.catalog.model import Catalog, Column, ForeignKey, Schema, Table
from vo_service.catalog.tap_schema import TABLES
from vo_service.config import Settings
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format
from vo_service.formats.votable import error_document, scs_error_document
from vo_service.vosi.availability import availability_document
from vo_service.vosi.capabilities import capabilities_document, vosi_capabilities
from vo_service.vosi.tables import table_document, tableset_document

TABLE = Table(
    schema="odd",
    name="size",
    columns=(
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", principal=True, indexed=True),
        Column("time", "char", "*", xtype="timestamp", description="a < b & c \x01"),
        Column("mjd", "double", unit="d", ucd="time.epoch"),
        Column("order", "int", std=True, utype="a:b"),
        Column("flux", "float", "3"),
    ),
    description="Odd names <&>",
    primary_key="order",
)
KEY = ForeignKey("k1", 'odd."size"', "tap_schema.tables", (('"order"', "table_index"),), "why")
CATALOG = Catalog((Schema("odd", (TABLE,), "An odd schema"), Schema("tap_schema", TABLES)), (KEY,))
RESULT = ResultTable(TABLE.columns, description="x", infos=(Info("query", "a<b", "text & more"),))


def result(name: str, ending: str) -> bytes:
    writer = find_format(name).writer(RESULT)
    rows = pa.RecordBatch.from_pydict(
        {
            "ra": [1.0, None],
            "time": pa.array([None, 0], pa.timestamp("us")),
            "mjd": [None, 58000.5],
            "order": pa.array([1, None], pa.int32()),
            "flux": pa.array([[1, 2, 3], None], pa.list_(pa.float32())),
        }
    )
    return written(writer, rows, ending=ending, told=2 if ending == "overflow" else "a & b")


DOCUMENTS = {
    "tableset max": tableset_document(CATALOG, detail="max"),
    "tableset min": tableset_document(CATALOG, detail="min"),
    "table": table_document(CATALOG, TABLE),
    "availability": availability_document(True, datetime(2026, 1, 1, tzinfo=UTC), ["a note <&>"]),
    "TAP capabilities": capabilities_document(tap_capabilities("http://127.0.0.1:8000/tap", Settings())),
    "cone capabilities": capabilities_document(
        (ConeSearchCapability("http://x.org/scs/a/b", 10, (1.5, -2.5)), *vosi_capabilities("http://x.org/scs/a/b"))
    ),
    "error": error_document("a <b> & c \x01"),
    "cone error": scs_error_document("a <b> & c \x01"),
    **{
        f"{name} {ending}": result(name, ending)
        for name in ("votable/b2", "votable/td")
        for ending in ("end", "overflow", "failure")
    },
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_find_nothing(name: str, shared: Path) -> None:
    assert complaints(DOCUMENTS[name], shared) == []
