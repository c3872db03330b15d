"""CPU time of a small request before the database has it: ADQL to SQL, covers, statements of cone searches, the rest.

    python -m tests.benchmarks.translation [--only WORD] [--cases FILE] [--profile]

Medians in us of CPU time; nothing is executed. `--cases` takes labelled ADQL queries, one JSON object a line, and times
those that this catalogue can answer.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from conesearch.query import cone_statement
from conesearch.request import ConeRequest
from tap.adql import AdqlError, parse
from tap.example_queries import example_queries
from tap.translate import translate
from tests.support.guessed import guessed_catalog
from vo_service.app import OWN
from vo_service.catalog.model import Catalog, Column, Position, Resource, Schema, Statistics, Table
from vo_service.catalog.tap_schema import TABLES
from vo_service.config import Settings
from vo_service.dali.forms import decode_urlencoded
from vo_service.dali.links import query_links
from vo_service.dali.origin import origin
from vo_service.dali.parameters import Parameters
from vo_service.formats.registry import find_format
from vo_service.sky.cover import Cover, cone_cover, shape_cover
from vo_service.sky.predicates import within_cone
from vo_service.sky.shapes import Circle, Polygon

SECONDS = 0.1
"""How long each case is repeated."""

RADII = (0.1, 1.0, 5.0, 20.0)

POLYGON = ((70.0, -5.0), (85.0, -5.0), (85.0, 10.0), (70.0, 10.0))

COLUMNS = (
    Column("event_id", "long", ucd="meta.id;meta.main", description="Number", principal=True, indexed=True),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", statistics=Statistics("0", "360"), principal=True),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", statistics=Statistics("-90", "90"), principal=True),
    Column("mjd", "double", unit="d", ucd="time.epoch", statistics=Statistics("56000", "57000"), principal=True),
    Column("energy", "float", unit="GeV", ucd="phys.energy", statistics=Statistics("1", "1e6"), principal=True),
    Column("nhit", "int", ucd="meta.number"),
    Column("beta", "float", unit="deg", ucd="stat.error;pos.eq"),
)

QUERIES = {
    "TOP 1 *": "SELECT TOP 1 * FROM bench.events",
    "count": "SELECT COUNT(*) FROM bench.events",
    "cone 0.1": "SELECT * FROM bench.events WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 77.4, 5.7, 0.1))",
    "cone 1": "SELECT * FROM bench.events WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(77.36, 5.69, 1))",
    "cone 20": "SELECT * FROM bench.events WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(77.36, 5.69, 20))",
    "distance": "SELECT TOP 100 event_id, ra, dec, DISTANCE(POINT(ra, dec), POINT(77.36, 5.69)) AS r FROM bench.events"
    " WHERE DISTANCE(POINT(ra, dec), POINT(77.36, 5.69)) < 1 ORDER BY r",
    "polygon": "SELECT event_id, ra, dec FROM bench.events"
    " WHERE 1 = CONTAINS(POINT(ra, dec), POLYGON(70, -5, 85, -5, 85, 10, 70, 10))",
    "upload match": "SELECT u.name, e.event_id, e.ra, e.dec, e.energy FROM TAP_UPLOAD.mine AS u JOIN bench.events AS e"
    " ON 1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(u.ra, u.dec, 0.1))",
    "healpix": "SELECT ivo_healpix_index(5, ra, dec) AS pixel, COUNT(*) AS n, AVG(energy) AS mean FROM bench.events"
    " GROUP BY ivo_healpix_index(5, ra, dec)",
    "metadata": "SELECT table_name, column_name, description, unit, ucd, utype, datatype FROM tap_schema.columns"
    " WHERE table_name = 'bench.events'",
    "obscore": "SELECT TOP 50 * FROM ivoa.obscore WHERE dataproduct_type = 'event-bundle' AND t_min < 60000",
}


def catalogue() -> Catalog:
    """As of a service with some tables: forty, and those of its own."""
    resource = Resource("Simulated events", license="CC0-1.0", doi="10.5281/zenodo.1", citation="None")
    tables = tuple(
        Table("bench", name, COLUMNS, "Simulated events", position=Position("ra", "dec"), primary_key="event_id",
              epoch_column="mjd", rows=1_000_000, resource=resource)
        for name in ("events", *(f"survey_{n}" for n in range(40)))
    )  # fmt: skip
    uploaded = (Column("name", "char", arraysize="*"), Column("ra", "double"), Column("dec", "double"))
    upload = Table("TAP_UPLOAD", "mine", uploaded, stored_as=("uploads", "u1"))
    own = tuple(schema for schema, _ in OWN)
    return Catalog((Schema("bench", tables), *own, Schema("tap_schema", TABLES), Schema("TAP_UPLOAD", (upload,))))


def median(work: Callable[[], object]) -> float:
    """The median of CPU times [us], each of some ten repetitions."""
    work()
    begin = time.process_time()
    work()
    number = max(1, int(0.003 / max(time.process_time() - begin, 1e-5)))
    times = []
    deadline = time.process_time() + SECONDS
    while time.process_time() < deadline:
        begin = time.process_time()
        for _ in range(number):
            work()
        times.append((time.process_time() - begin) / number)
    return statistics.median(times) * 1e6


def statement(text: str, catalog: Catalog) -> object:
    return translate(parse(text), catalog, limit=1001)


def queries(catalog: Catalog) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, text in QUERIES.items():
        tree = parse(text)
        yield f"parse, {name}", partial(parse, text)
        yield f"translate, {name}", partial(translate, tree, catalog, limit=1001)
    examples = [query.text for query in example_queries(catalog)][:150]
    yield f"parse and translate, {len(examples)} examples, each", Each(lambda text: statement(text, catalog), examples)


def labelled(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Queries of a collection, each with a catalogue that has what it names."""
    asked = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["query"]
        try:
            catalog = guessed_catalog(parse(text))
            translate(parse(text), catalog)
        except AdqlError:
            continue
        asked.append((text, catalog))
    yield f"parse and translate, {len(asked)} labelled queries, each", Each(lambda pair: statement(*pair), asked)


class Each:
    """The same work for each of several inputs; the time is that of one."""

    def __init__(self, work: Callable[[Any], object], inputs: list[Any]) -> None:
        self.work, self.inputs = work, inputs

    def __call__(self) -> None:
        for item in self.inputs:
            self.work(item)

    def __len__(self) -> int:
        return len(self.inputs)


def covers(catalog: Catalog) -> Iterator[tuple[str, Callable[[], object]]]:
    table = catalog.table("bench", "events")
    assert table is not None
    assert table.position is not None
    position, choice = table.position, find_format(None)
    for radius in RADII:
        cone, shape = (77.36, 5.69, radius), Circle(77.36, 5.69, radius)
        request = ConeRequest(*cone, verbosity=2, maxrec=100_000, format=choice)
        yield f"cone cover, {radius:g} deg", partial(cone_cover, *cone)
        yield f"within cone, {radius:g} deg", partial(within_cone, "hpx", "ra", "dec", *cone)
        yield (
            f"statement of a cone search, {radius:g} deg",
            partial(cone_statement, table, position, request),
        )
        yield f"cover of a circle, {radius:g} deg", partial(shape_cover, shape)
    for size in (1, 15):
        vertices = tuple((70 + (ra - 70) * size / 15, dec * size / 15) for ra, dec in POLYGON)
        yield f"cover of a polygon, {size} deg", partial(_polygon_cover, vertices)


def _polygon_cover(vertices: tuple[tuple[float, float], ...]) -> Cover:
    return shape_cover(Polygon(vertices))


def rest(catalog: Catalog) -> Iterator[tuple[str, Callable[[], object]]]:
    settings = Settings()
    table = catalog.table("bench", "events")
    assert table is not None
    text = b"REQUEST=doQuery&LANG=ADQL&FORMAT=csv&QUERY=SELECT+TOP+1+%2A+FROM+bench.events"
    cone = b"RA=77.36&DEC=5.69&SR=1&RESPONSEFORMAT=votable"
    sources, columns = (table,), table.columns
    yield "origin", lambda: origin(settings, "ivo://ivoa.net/std/TAP", sources, query="SELECT")
    yield "links of a query", lambda: query_links("http://localhost", sources, columns)
    yield "parameters of a query", lambda: Parameters(decode_urlencoded(text))
    yield "parameters of a cone", lambda: Parameters(decode_urlencoded(cone)).number("RA", 0, 360)
    yield "default format", lambda: find_format(None)
    yield "format csv", lambda: find_format("csv")
    yield "format fits", lambda: find_format("application/fits")
    upload = Schema("TAP_UPLOAD", ())
    yield "catalogue with uploads", lambda: catalog.with_schema(upload).table("bench", "events")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the name of what is timed")
    parser.add_argument("--cases", type=Path, help="labelled queries")
    parser.add_argument("--profile", action="store_true", help="a profile of what is timed, by function")
    options = parser.parse_args()
    catalog = catalogue()
    cases = [*queries(catalog), *covers(catalog), *rest(catalog), *(labelled(options.cases) if options.cases else ())]
    profile = cProfile.Profile()
    for name, work in cases:
        if options.only in name:
            if options.profile:
                profile.enable()
            time_taken = median(work) / (len(work) if isinstance(work, Each) else 1)
            profile.disable()
            print(f"{name:60} {time_taken:9.1f}", flush=True)
    if options.profile:
        profile.print_stats("tottime")


if __name__ == "__main__":
    main()
