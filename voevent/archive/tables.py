"""What TAP and cone search may know of the archive: published columns of the tables in `schema.sql`, section Alerts.

The bytes of packets (`raw`, `digest`), the addresses of authors (`sender`) and the HEALPix index are not published.
"""

from __future__ import annotations

from typing import Final

from vo_service.catalog.model import Column, ForeignKey, Position, Schema, Table

NAME: Final = "alerts"

_EVENT_ID = "event_id     | long      |      | meta.id                  | Number of the event in this archive"
_IVOID = "ivoid        | char      |      | meta.ref.ivoid           | Identifier of the packet"

_COLUMNS: Final = {
    "voevent": f"""
        {_EVENT_ID}, in the order of storage
        {_IVOID}
        role         | char      |      | meta.code                | observation, prediction, utility or test
        version      | char      |      | meta.version             | Version of VOEvent that the packet is written in
        stream       | char      |      | meta.ref.ivoid           | The part of the identifier that its stream has
        event_ivoid  | char      |      | meta.ref.ivoid           | Identifier of the event that it tells of
        author_ivoid | char      |      | meta.ref.ivoid           | Identifier of the author
        author       | char      |      | meta.curation            | Who to ask
        author_time  | timestamp |      | time.creation            | When the packet was written, UTC
        concept      | char      |      | meta.note                | What kind of event the author takes it for
        description  | char      |      | meta.note                | The author's description
        event_time   | timestamp |      | time.epoch               | When it was observed, UTC
        ra           | double    | deg  | pos.eq.ra;meta.main      | Right ascension, ICRS
        dec          | double    | deg  | pos.eq.dec;meta.main     | Declination, ICRS
        error_radius | double    | deg  | stat.error;pos.eq        | Error of the position as the packet gives it
        far          | double    | Hz   | arith.rate               | False alarm rate
        received_from| char      |      | meta.curation            | Where the packet came from
        received_at  | timestamp |      | time                     | When it was received, UTC
        stored_at    | timestamp |      | time                     | When it was stored, UTC
        acknowledged_at | timestamp |   | time                     | When its sender was told so, UTC
        sent_at      | timestamp |      | time                     | When it was sent to subscribers, UTC
        matched_at   | timestamp |      | time                     | When it had been matched, UTC
        warning      | char      |      | meta.note                | What is wrong with it
        xml          | char      |      | meta                     | The packet
    """,
    "param": f"""
        {_EVENT_ID}
        place        | int       |      | meta.number              | Place of the parameter in the packet, from 1
        group_name   | char      |      | meta.id                  | Name of the group that it stands in
        name         | char      |      | meta.id                  | Name of the parameter
        value        | char      |      | meta                     | Its value, as written
        number       | double    |      | arith                    | Its value as a number, if it is one
        unit         | char      |      | meta.unit                | Its unit, as written
        ucd          | char      |      | meta.ucd                 | Its UCD, as written
    """,
    "citation": f"""
        {_EVENT_ID}
        {_IVOID} that cites
        cited_ivoid  | char      |      | meta.ref.ivoid           | Identifier of the packet that is cited
        cite         | char      |      | meta.code                | followup, supersedes or retraction
    """,
    "skymap": f"""
        {_EVENT_ID}
        {_IVOID}
        hpx_first    | long      |      | pos.healpix;stat.min     | First cell of a range (HEALPix, order 29, nested)
        hpx_last     | long      |      | pos.healpix;stat.max     | Last cell of the range
        density      | double    | deg**-2 | stat.probability      | Probability density in these cells
        credible_level | double  |      | stat.probability         | Probability of all cells at least as dense: \
the 90 % region is where it is at most 0.9
    """,
    "coincidence": """
        coincidence_id | long    |      | meta.id;meta.main        | Number of the coincidence in this archive
        rule         | char      |      | meta.id                  | Name of the rule by which it was found
        alert_ivoid  | char      |      | meta.ref.ivoid           | Identifier of the alert
        counterpart  | char      |      | meta.id.assoc            | What coincides with it: \
the identifier of an alert, or the primary key of a row
        counterpart_kind | char  |      | meta.id;meta.table       | The table in which that is
        delta_t      | double    | s    | time.interval            | Time of the counterpart minus that of the alert
        separation   | double    | deg  | pos.angDistance          | Between their best positions
        overlap      | double    |      | stat.likelihood          | Overlap integral of both; \
1 where they tell nothing of each other
        containment  | double    |      | stat.probability         | Credible level of the alert at which the \
counterpart lies
        p_value      | double    |      | stat.probability         | Probability of so near a counterpart by chance
        far          | double    | Hz   | arith.rate               | False alarm rate of such coincidences
        ra           | double    | deg  | pos.eq.ra;meta.main      | Right ascension of a source of both, ICRS
        dec          | double    | deg  | pos.eq.dec;meta.main     | Declination of a source of both, ICRS
        r50          | double    | deg  | stat.error;pos.eq        | Radius in which it is with 50 % probability
        r90          | double    | deg  | stat.error;pos.eq        | Radius for 90 %
        revision     | int       |      | meta.version             | 1, and 1 more for each earlier version of an input
        status       | char      |      | meta.code.status         | current, superseded or retracted
        found_at     | timestamp |      | time.processing          | When it was found, UTC
        published_ivoid | char   |      | meta.ref.ivoid           | Identifier of the packet that tells of it
    """,
}

_DESCRIPTIONS: Final = {
    "voevent": "VOEvent packets that were received or published here, one row each",
    "param": "The parameters of the packets",
    "citation": "Which packets cite which, and why",
    "skymap": "Where on the sky alerts may come from: ranges of HEALPix cells with their probability density",
    "coincidence": "Alerts that came together with other alerts, or with events of published tables",
}

_PRINCIPAL: Final = frozenset(
    (
        "ivoid role event_time ra dec far name value cited_ivoid cite hpx_first hpx_last density credible_level"
        " rule alert_ivoid counterpart delta_t p_value status"
    ).split()
)

_INDEXED: Final = {
    "voevent": {"event_id", "ivoid", "ra", "dec", "event_time", "stored_at"},
    "param": {"event_id", "name"},
    "citation": {"event_id", "cited_ivoid"},
    "skymap": {"event_id", "ivoid"},
    "coincidence": {"coincidence_id", "alert_ivoid", "counterpart", "ra", "dec", "published_ivoid"},
}
"""Columns by which rows are found fast (`schema.sql`)."""

_POSITIONED: Final = {"voevent": "ivoid", "coincidence": "coincidence_id"}
"""Tables with positions, and their primary keys."""


def _column(table: str, line: str) -> Column:
    name, kind, unit, ucd, description = (part.strip() for part in line.split("|"))
    return Column(
        name=name,
        datatype="char" if kind == "timestamp" else kind,
        arraysize="*" if kind in ("char", "timestamp") else None,
        xtype="timestamp" if kind == "timestamp" else None,
        unit=unit or None,
        ucd=ucd or None,
        description=description,
        principal=name in _PRINCIPAL,
        indexed=name in _INDEXED[table],
    )


def _table(name: str, index: int) -> Table:
    return Table(
        NAME,
        name,
        tuple(_column(name, line) for line in _COLUMNS[name].strip().splitlines()),
        description=_DESCRIPTIONS[name],
        position=Position("ra", "dec") if name in _POSITIONED else None,
        primary_key=_POSITIONED.get(name),
        epoch_column="event_time" if name == "voevent" else None,
        table_index=index,
    )


SCHEMA: Final = Schema(
    NAME,
    tuple(_table(name, index) for index, name in enumerate(_COLUMNS, start=1)),
    description="Alerts: every VOEvent packet that this service has received or published",
)

KEYS: Final = tuple(
    ForeignKey(
        key_id=f"{NAME}.{name}.event_id",
        from_table=f"{NAME}.{name}",
        target_table=f"{NAME}.voevent",
        columns=(("event_id", "event_id"),),
        description="The packet that it is part of",
    )
    for name in ("param", "citation", "skymap")
)
