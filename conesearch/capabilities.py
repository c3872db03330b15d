"""What a cone search service says of itself (SimpleDALRegExt 1.2, section 4.1, and VOSI 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from vo_service.catalog.model import Column, Position, Table
from vo_service.context import Context
from vo_service.database.execute import stream
from vo_service.database.statement import Statement
from vo_service.vosi.capabilities import VOTABLE, Capability, add_interface, vosi_capabilities
from vo_service.vosi.documents import Element, add

TEST_RADIUS = 0.5
"""Radius [deg] of the test query, which is around a row of the table."""

_PARAMETERS = (
    ("RA", "Right ascension of the centre (ICRS)", "deg", "pos.eq.ra", "real"),
    ("DEC", "Declination of the centre (ICRS)", "deg", "pos.eq.dec", "real"),
    ("SR", "Radius; 0 asks for the columns alone", "deg", None, "real"),
    ("VERB", "1 for the fewest columns, 2 for the principal ones, 3 for all", None, None, "integer"),
    ("MAXREC", "Rows of the answer at most", None, None, "integer"),
    ("RESPONSEFORMAT", "MIME type or short name of the output format", None, "meta.code.mime", "string"),
)


@dataclass(frozen=True, slots=True)
class ConeSearchCapability:
    """The capability of one cone search service."""

    url: str
    max_records: int
    test: tuple[float, float] | None
    """Centre [deg, ICRS] of a search that finds something; None if none does."""

    def add_to(self, document: Element) -> None:
        capability = add(document, "capability", standardID="ivo://ivoa.net/std/ConeSearch", type_="cs:ConeSearch")
        # Clients append their parameters as they are (SimpleDALRegExt 1.2, section 4.1).
        interface = add_interface(capability, f"{self.url}?", use="base")
        for method in ("GET", "POST"):
            add(interface, "queryType", method)
        add(interface, "resultType", VOTABLE)
        for name, description, unit, ucd, datatype in _PARAMETERS:
            parameter = add(interface, "param", std="true", use="required" if unit else "optional")
            add(parameter, "name", name)
            add(parameter, "description", description)
            if unit:
                add(parameter, "unit", unit)
            if ucd:
                add(parameter, "ucd", ucd)
            add(parameter, "dataType", datatype, type_="vs:SimpleDataType")
        add(capability, "maxSR", 180.0)
        add(capability, "maxRecords", self.max_records)
        add(capability, "verbosity", "true")
        if self.test is None:
            return
        query = add(capability, "testQuery")
        for name, value in (("ra", self.test[0]), ("dec", self.test[1]), ("sr", TEST_RADIUS)):
            add(query, name, repr(value))


async def cone_capabilities(address: str, table: Table, position: Position, context: Context) -> tuple[Capability, ...]:
    """The capabilities of the service at `address`."""
    cone = ConeSearchCapability(address, context.settings.maxrec_limit, await _some_position(table, position, context))
    return (cone, *vosi_capabilities(address))


async def _some_position(table: Table, position: Position, context: Context) -> tuple[float, float] | None:
    """The position [deg] of a row that has one; None if there is none."""
    columns = (Column("ra", "double"), Column("dec", "double"))
    text = (
        sql.SQL("SELECT ra, dec FROM (SELECT {ra}::float8 AS ra, {dec}::float8 AS dec FROM {table}) AS positions")
        .format(
            ra=sql.Identifier(position.ra),
            dec=sql.Identifier(position.dec),
            table=sql.Identifier(table.schema, table.name),
        )
        .as_string(None)
    )
    # Of NULL and NaN, which is larger than all numbers, neither is below infinity.
    text += " WHERE ra < 'Infinity' AND dec < 'Infinity' LIMIT 1"
    async with stream(context.database, Statement(text, columns), timeout=context.settings.sync_timeout) as batches:
        async for batch in batches:
            row = batch.slice(0, 1).to_pylist()[0]
            return row["ra"], row["dec"]
    return None
