"""Table descriptions: what they become, what is refused and where, what is named as missing."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from mocpy import TimeMOC

from vo_service.catalog.description import Description, load_description
from vo_service.catalog.description_input import ColumnSource, FileOptions, PositionSource, Rank
from vo_service.catalog.model import Column, ForeignKey, Person, Position
from vo_service.errors import ConfigurationError

WHOLE = """
    name: ant
    description: Neutrinos
    tap:schema_index: 3
    resource:
      title: "Events: all of them"
      creators:
        - A. Author
        - {name: B. Author, orcid: 0000-0002-1694-233X, affiliation: APC}
      contact: {name: Desk, email: desk@example.org}
      subjects: neutrino astronomy
      license: CC-BY-4.0
      license_url: https://creativecommons.org/licenses/by/4.0/
      doi: 10.5281/zenodo.1234567
      citation: Cite it
      date: 2026-11-21
      version: 1.10
      waveband: neutrino
      simulated: true
    tables:
      - name: main
        "@id": "#main"
        description: Events
        primaryKey: "#main.id"
        tap:table_index: 1
        position: {ra: ra, dec: decl}
        epoch: mjd
        reject: skip
        input: {files: "*.csv", table: [E, T], header: no, delimiter: "\\t", skip: 2, element: 0}
        columns:
          - {name: mjd, datatype: double, "ivoa:unit": d, "ivoa:ucd": time.epoch, description: Time, indexed: 1}
          - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.RA;meta.main, description: RA,
             source: {name: 2, unit: rad, null: [-999, ""]}}
          - {name: decl, datatype: float, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec, description: Dec, nullable: false}
          - {name: id, "@id": "#main.id", datatype: char, length: 7, "ivoa:ucd": meta.id, description: Id,
             derive: {rank: mjd, format: "ANT{:04d}"}, "tap:column_index": 1, "tap:principal": 1, "votable:utype": x.y}
          - {name: n, datatype: long, "ivoa:unit": "", "ivoa:ucd": meta.number, description: Count}
"""


def describe(tmp_path: Path, text: str) -> Description:
    path = tmp_path / "table.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_description(path)


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        describe(tmp_path, text)
    return caught.value.message.replace(str(tmp_path / "table.yaml"), "table.yaml")


def table(columns: str, more: str = "", name: str = "s") -> str:
    """A description of one table with these columns, and what else is said of the table."""
    head = f"name: {name}\ntables:\n  - name: t\n"
    return head + textwrap.indent(f"{more}\ncolumns:\n{textwrap.indent(columns, '  ')}", "    ")


RA_DEC = "- {name: ra, datatype: double}\n- {name: dec, datatype: double}\n"


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    description = describe(tmp_path, WHOLE)
    schema = description.schema
    (main,) = schema.tables
    assert (schema.name, schema.description, schema.schema_index) == ("ant", "Neutrinos", 3)
    assert [column.name for column in main.columns] == ["id", "mjd", "ra", "decl", "n"]
    assert main.columns[0] == Column(
        "id", "char", "7", ucd="meta.id", utype="x.y", description="Id", principal=True, indexed=True
    )
    assert main.columns[2] == Column(
        "ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="RA", indexed=True
    )
    assert main.column("n").unit is None
    assert (main.position, main.primary_key, main.epoch_column) == (Position("ra", "decl"), "id", "mjd")
    assert description.warnings == ()
    source = description.inputs["main"]
    assert source.sources == {
        "id": Rank("mjd", "ANT", 4, ""),
        "mjd": ColumnSource("mjd"),
        "ra": ColumnSource("2", ("-999", ""), "rad", 57.29577951308232),
        "decl": ColumnSource("decl"),
        "n": ColumnSource("n"),
    }
    assert source.options == FileOptions(table=("E", "T"), header="no", delimiter="\t", skip=2, element=0)
    assert (source.files, source.bad_rows, source.indexed) == (("*.csv",), "skip", ("mjd",))
    assert source.required == {"id", "decl"}


def test_resource(tmp_path: Path) -> None:
    resource = describe(tmp_path, WHOLE).schema.tables[0].resource
    assert resource is not None
    assert resource.title == "Events: all of them"
    assert resource.creators == (Person("A. Author"), Person("B. Author", "0000-0002-1694-233X", "APC"))
    assert resource.contact == Person("Desk", email="desk@example.org")
    assert (resource.version, resource.date, resource.simulated) == ("1.10", "2026-11-21", True)
    assert (resource.waveband, resource.subjects) == (("Neutrino",), ("neutrino astronomy",))


@pytest.mark.parametrize(
    ("said", "column"),
    [
        ("datatype: char", Column("x", "char", "*")),
        ("datatype: char, length: 8", Column("x", "char", "8")),
        ("datatype: char, length: 1", Column("x", "char", "1*")),
        ("datatype: string, length: 8", Column("x", "char", "8*")),
        ('datatype: unicode, "votable:arraysize": "5*"', Column("x", "unicodeChar", "5*")),
        ("datatype: timestamp", Column("x", "char", "*", "timestamp")),
        ("datatype: byte", Column("x", "unsignedByte")),
        ("datatype: binary", Column("x", "unsignedByte", "*")),
        ('datatype: float, "votable:arraysize": 1', Column("x", "float")),
        ('datatype: float, "votable:arraysize": 2x3', Column("x", "float", "2x3")),
        ('datatype: char, "votable:xtype": timestamp', Column("x", "char", "*", "timestamp")),
    ],
)
def test_datatypes(tmp_path: Path, said: str, column: Column) -> None:
    assert describe(tmp_path, table(f"- {{name: x, {said}}}")).schema.tables[0].columns == (column,)


def test_position_from_other_coordinates(tmp_path: Path) -> None:
    more = "position: {ra: alpha, source: {frame: galactic, unit: rad, longitude: l, latitude: b, null: -999}}"
    description = describe(tmp_path, table("- {name: l, datatype: float}\n", more))
    (found,) = description.schema.tables
    assert [column.name for column in found.columns] == ["l", "alpha", "dec"]
    assert found.columns[1].unit == "deg"
    assert found.columns[1].ucd == "pos.eq.ra;meta.main"
    assert found.position == Position("alpha", "dec")
    assert description.inputs["t"].position == PositionSource("l", "b", "galactic", "rad", ("-999",))
    assert set(description.inputs["t"].sources) == {"l"}


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    text = table(
        "- {name: no, datatype: int, source: 1.0}\n- {name: 2026-11-21, datatype: int}\n- {name: 'null', datatype: int}"
    )
    description = describe(tmp_path, text)
    assert [column.name for column in description.schema.tables[0].columns] == ["no", "2026-11-21", "null"]
    assert description.inputs["t"].sources["no"] == ColumnSource("1.0")


def test_foreign_keys(tmp_path: Path) -> None:
    text = table(
        "- {name: run, datatype: int}",
        'constraints: [{"@type": ForeignKey, columns: run, referencedColumns: runs.Number, description: Run}]',
        name="Table",
    )
    assert describe(tmp_path, text).keys == (
        ForeignKey("Table.t.run", '"Table".t', '"Table".runs', (("run", "Number"),), "Run"),
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    text = """
        name: s
        description: TODO
        resource: {title: TODO fill in, creators: TODO, subjects: }
        tables:
          - name: t
            columns:
              - {name: e, datatype: float, description: TODO, "ivoa:unit": TODO, "ivoa:ucd": TODO}
              - {name: w, datatype: int, "ivoa:unit": "", description: Weight, "ivoa:ucd": stat.weight}
              - {name: f, datatype: double, "ivoa:unit": erg, description: Energy, "ivoa:ucd": phys.energy}
              - {name: s, datatype: string, description: Word, "ivoa:ucd": meta.note}
    """
    assert describe(tmp_path, text).warnings == (
        "s: no description",
        "resource: no title, creators, license, citation or doi, subjects",
        "t: no description",
        "t: no primaryKey: no column identifies a row",
        "t: no description: e",
        "t: no ivoa:ucd: e",
        't: no ivoa:unit (say "" if there is none): e',
        "t, f: The unit 'erg' has been deprecated in the VOUnit standard. Suggested: cm**2.g.s**-2.",
    )


def test_all_problems_with_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
        name: s
        descripton: x
        resource:
          doi: doi:10.1/x
        tables:
          - name: t
            columns:
              - name: ra
                datatype: doubel
                ivoa:units: deg
              - name: mjd
                ivoa:unit: day
                ivoa:ucd: time.epock
        """,
    )
    assert found.splitlines() == [
        "table.yaml, line 2: descripton: there is no such key here; did you mean 'description'?",
        "table.yaml, line 4: resource, doi: 'doi:10.1/x' is not as expected, for example 10.5281/zenodo.1234567: 10.,"
        ' four to nine digits, a slash, and no blank, <, >, " or % after it',
        "table.yaml, line 9: table t, column ra, datatype: expected 'boolean', 'byte', 'unsignedByte', 'short', 'int',"
        " 'long', 'float', 'double', 'char', 'string', 'text', 'unicode', 'unicodeChar', 'timestamp' or 'binary'",
        "table.yaml, line 10: table t, column ra, ivoa:units: there is no such key here; did you mean 'ivoa:unit'?",
        "table.yaml, line 11: table t, column mjd, datatype: is missing",
        "table.yaml, line 12: table t, column mjd, ivoa:unit: 'day' is no unit in VOUnits syntax; did you mean 'd'?",
        "table.yaml, line 13: table t, column mjd, ivoa:ucd: 'time.epock' is no word of UCD1+; did you mean"
        " 'time.epoch'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.yaml: a mapping (key: value) is expected"),
        ("name: [", "line 1: not YAML"),
        ("a: 1\na: 2", "line 2: not YAML: 'a' stands there twice"),
        ("a: &x [1]\nb: *x", "line 2: not YAML: aliases (*) are not supported"),
        ("name: s\ntables: 3", "line 2: tables: a list is expected"),
        ("name: s\ntables: []", "tables: List should have at least 1 item"),
        (table("- {name: x, datatype: int}", name="pg_x"), "a schema cannot be called 'pg_x'"),
        (table("- {name: x, datatype: int}", name="TAP_SCHEMA"), "a schema cannot be called 'TAP_SCHEMA'"),
        (table("- {name: Hpx, datatype: int}"), "column Hpx, name: a column cannot be called 'Hpx'"),
        (table("- {name: ctid, datatype: int}"), "a column cannot be called 'ctid'"),
        (table(f"- {{name: {'x' * 64}, datatype: int}}"), "cannot be a name: 1 to 63 bytes"),
        (table("- {name: x, datatype: int}\n- {name: X, datatype: int}"), "'X' differs from 'x' by letter case only"),
        (table("- {name: x, datatype: int}\n- {name: x, datatype: int}"), "'x' stands there twice"),
        (table("- {name: x, datatype: int}", "primaryKey: y"), "line 4: table t, primaryKey: there is no column 'y'"),
        (table("- {name: x, datatype: int}", "primaryKey: [x, x]"), "List should have at most 1 item"),
        (table("- {name: x, datatype: int}", "epoch: y"), "epoch: there is no column 'y'"),
        (table("- {name: x, datatype: int}", "position: {}"), "position, ra: there is no column 'ra'"),
        (table("- {name: x, datatype: double}", "position: {ra: x, dec: x}"), "are the same column"),
        (
            table("- {name: ra, datatype: int}\n- {name: dec, datatype: double}", "position: {}"),
            "must be a double or float",
        ),
        (
            table('- {name: ra, datatype: double, "ivoa:unit": rad}\n- {name: dec, datatype: double}', "position: {}"),
            "column 'ra' must be in deg",
        ),
        (
            table(
                "- {name: ra, datatype: double, source: x}\n- {name: dec, datatype: double}",
                "position: {source: {longitude: l, latitude: b}}",
            ),
            "column 'ra' has a source of its own",
        ),
        (
            table(RA_DEC, "position: {source: {frame: fk4, longitude: l, latitude: b}}"),
            "expected 'icrs', 'fk5' or 'galactic'",
        ),
        (table("- {name: x, datatype: int, source: {unit: rad}}"), "a unit is given for the file, but none"),
        (
            table('- {name: x, datatype: int, "ivoa:unit": m, source: {unit: s}}'),
            "'s' and 'm' are units of different quantities",
        ),
        (
            table('- {name: x, datatype: float, "ivoa:unit": GeV, source: {unit: log(GeV)}}'),
            "values in 'log(GeV)' cannot be converted to 'GeV' by a factor",
        ),
        (table("- {name: x, datatype: int, source: y, derive: {rank: z}}"), "either a source or is derived"),
        (table("- {name: x, datatype: double, derive: {rank: z}}"), "a rank is an int or long"),
        (table('- {name: x, datatype: int, derive: {rank: z, format: "A{}"}}'), "a format makes strings"),
        (
            table('- {name: x, datatype: char, derive: {rank: z, format: "A{:>4}"}}'),
            "one {} or {:0Nd} is expected in it",
        ),
        (table('- {name: x, datatype: int, "votable:xtype": timestamp}'), "xtype timestamp goes with datatype char"),
        (table('- {name: x, datatype: char, length: 3, "votable:arraysize": 3}'), "say the same; give one"),
        (table("- {name: x, datatype: int}", "input: {encoding: klingon}"), "input, encoding: 'klingon'"),
        (table("- {name: x, datatype: int}", "reject: maybe"), "reject: expected 'refuse' or 'skip'"),
        (table("- {name: x, datatype: int, indexed: maybe}"), "indexed: expected a valid boolean"),
        (
            table(
                "- {name: x, datatype: int}",
                'constraints: [{"@type": ForeignKey, columns: [x], referencedColumns: [a.b, a.c]}]',
            ),
            "as many columns as referencedColumns",
        ),
        *(
            (table("- {name: x, datatype: int}", f"constraints: [{key}]"), message)
            for key, message in (
                ('{"@type": ForeignKey, columns: y, referencedColumns: a.b}', "columns: there is no column 'y'"),
                ('{"@type": ForeignKey, columns: x, referencedColumns: b}', "each written table.column"),
                ('{"@type": ForeignKey, columns: [x, x], referencedColumns: [a.b, c.d]}', "columns of one table"),
                (", ".join(['{"@type": ForeignKey, columns: x, referencedColumns: a.b}'] * 2), "these columns already"),
            )
        ),
    ],
)
def test_problems(tmp_path: Path, text: str, message: str) -> None:
    assert message in problems(tmp_path, text)


def resource(said: str) -> str:
    return f"resource: {{{said}}}\n" + table("- {name: x, datatype: int}")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("reference_url: 'https://example.org/%zz?<a>'", "line 1: resource, reference_url: .* percent-encode"),
        ("reference_url: https://exämple.org/äb", "reference_url: .* percent-encode .*host names in their ASCII form"),
        ("license_url: 'https://example.org/a b'", "license_url: .* percent-encode"),
        ("date: 2017-02-30", "date: '2017-02-30' is no date of the calendar"),
        ("date: 2017-13", "date: '2017-13' is no date of the calendar"),
        ("date: 21.11.2026", "date: .* YYYY, YYYY-MM or YYYY-MM-DD"),
        ("creators: {name: A, orcid: 0000-0002-1825-0098}", "orcid: .* 7 is expected at its end"),
        ("creators: {name: A, orcid: 0000-0002-1694-2330}", "orcid: .* X is expected at its end"),
        ("creators: [A, ' ']", "creator 2, name: a text that is not blank is expected"),
        ("contact: {name: ''}", "contact, name: a text that is not blank is expected"),
        ("contact: {name: A, email: desk at example.org}", "email: .* expected one such as desk@example.org"),
        ("contact: {name: A, email: desk@example}", "email: .* expected one such as desk@example.org"),
        ("subjects: [neutrino astronomy, '\u200b']", "subject 2: a text that is not blank is expected"),
        ("title: ' '", "title: a text that is not blank is expected"),
        ("publisher: ''", "publisher: a text that is not blank is expected"),
        ("doi: '10.1/%zz<>'", "doi: .* is not as expected, for example 10.5281"),
        ("doi: '10.1234/%zz'", "doi: .* is not as expected, for example 10.5281"),
        ("obscore: {obs_collection: ''}", "obscore, obs_collection: a text that is not blank is expected"),
        ("obscore: {t_intervals: 99/7-3/}", "t_intervals: .* is no time MOC.* orders are 0 to 61, not 99"),
        ("obscore: {t_intervals: 30/7-3}", "the range 7-3 descends"),
        ("obscore: {t_intervals: 61/4611686018427387904}", "cells of order 61 are 0 to 4611686018427387903"),
        ("obscore: {t_intervals: '30/1,2'}", "'1,2' is neither an order"),
        ("obscore: {t_intervals: 30/}", "there is no cell"),
    ],
)
def test_what_a_resource_may_not_say(tmp_path: Path, said: str, message: str) -> None:
    assert re.search(message, problems(tmp_path, resource(said)))


def test_what_a_resource_may_say(tmp_path: Path) -> None:
    said = (
        "date: 2020-02, doi: 10.1000.10/a(b)#c, contact: {name: A, email: a.b+c@x-y.example.org},"
        " reference_url: 'https://u@[::1]:80/%C3%A4(b)?a=%20&b=/?#c', license: cc-by-4.0,"
        " obscore: {t_intervals: '29/1 2-2\n 61/4611686018427387903'}"
    )
    description = describe(tmp_path, resource(said))
    about = description.schema.tables[0].resource
    assert about is not None
    assert about.obscore.t_intervals is not None
    assert len(TimeMOC.from_string(about.obscore.t_intervals, "ascii").to_time_ranges()) == 2
    assert not [warning for warning in description.warnings if "SPDX" in warning]


@pytest.mark.parametrize("name", [".", ".."])
def test_names_of_dots_alone_would_vanish_from_addresses(tmp_path: Path, name: str) -> None:
    assert "line 1: name: '.' cannot be a name" in problems(tmp_path, table("- {name: x, datatype: int}", name="."))
    text = table("- {name: x, datatype: int}").replace("name: t", f"name: {name}")
    assert "something else than dots is expected" in problems(tmp_path, text)


def test_words_that_no_registry_knows_are_named(tmp_path: Path) -> None:
    said = "license: CC-BY-4.9, subjects: ['Neutrino astronomy', 'H II regions', 'Stars; <planets>']"
    warnings = describe(tmp_path, resource(said)).warnings
    assert [line.partition(":")[2] for line in warnings if line.startswith("resource: ") and ": no " not in line] == [
        " license 'CC-BY-4.9' is no SPDX identifier that is known here (such as CC-BY-4.0), and there is no"
        " license_url: records have no address of the licence (rightsURI)",
        " subject 'Stars; <planets>' is no concept of the Unified Astronomy Thesaurus: none has ';<>'; expected one"
        " such as 'Neutrino astronomy'",
    ]
    known = describe(tmp_path, resource(f"{said}, license_url: https://example.org/licence")).warnings
    assert not [line for line in known if "SPDX" in line]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Cannot read .*: No such file"):
        load_description(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Größe".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load_description(tmp_path / "latin.yaml")
