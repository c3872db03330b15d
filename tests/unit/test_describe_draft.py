"""Drafts of descriptions: what the files tell, what names suggest, and that a draft loads as it is."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.support.files import WRITERS, event_table, write_file
from vo_service.catalog.description import Description, load_description
from vo_service.catalog.description_input import ColumnSource, FileOptions, PositionSource
from vo_service.catalog.model import Position
from vo_service.catalog.vocabulary.ucd import check_ucd
from vo_service.catalog.vocabulary.unit import check_unit
from vo_service.errors import IngestError
from vo_service.ingest import known_names
from vo_service.ingest.describe import describe
from vo_service.ingest.known_names import Pair, find_pair, meaning


def draft(tmp_path: Path, *paths: Path, table: str | None = None) -> tuple[str, Description]:
    """The draft as text, and as it is read."""
    text = describe(paths, table)
    path = tmp_path / "draft.yaml"
    path.write_text(text, encoding="utf-8")
    return text, load_description(path)


def draft_of_text(tmp_path: Path, content: str, name: str = "events.csv") -> tuple[str, Description]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return draft(tmp_path, path)


def datatypes(description: Description) -> dict[str, str]:
    return {column.name: column.datatype for column in description.schema.tables[0].columns}


@pytest.mark.parametrize("name", WRITERS)
def test_drafts_of_every_format(tmp_path: Path, name: str) -> None:
    text, description = draft(tmp_path, write_file(tmp_path, name, event_table()))
    (table,) = description.schema.tables
    assert table.position == Position("ra", "dec")
    assert (table.primary_key, table.epoch_column) == ("event_id", "mjd")
    assert table.column("ra").ucd == "pos.eq.ra;meta.main"
    assert table.column("mjd").unit == "d"
    kinds = datatypes(description)
    assert (kinds["ra"], kinds["nhit"]) == ("double", "short")
    assert kinds["energy"] in ("float", "double")
    if "name" in kinds:
        assert kinds["name"] == "char"
    assert "TODO" in text
    assert "resource: no title, creators, license, citation or doi, subjects" in description.warnings


def test_what_the_file_states_is_not_guessed(tmp_path: Path) -> None:
    text, description = draft(tmp_path, write_file(tmp_path, "events.ecsv", event_table()))
    energy = description.schema.tables[0].column("energy")
    assert (energy.unit, energy.description) == ("GeV", "The energy of the event")
    assert "ivoa:unit: GeV\n" in text
    assert "ivoa:ucd: phys.energy  # guessed from the name\n" in text


def test_smallest_datatypes(tmp_path: Path) -> None:
    lines = [
        "a,b,c,d,e,f,g,h,i,j,k",
        "1,40000,3000000000,1.25,1.2345678,TRUE,2026-11-21T01:02:03,abc,Größe,,-999",
        "-5,7,1,1e10,1,false,2026-11-22 01:02,xyz,b,,3",
        ",,,,,,,,,,",
    ]
    text, description = draft_of_text(tmp_path, "\n".join(lines))
    assert datatypes(description) == {
        "a": "short", "b": "int", "c": "long", "d": "float", "e": "double", "f": "boolean",
        "g": "char", "h": "char", "i": "unicodeChar", "j": "char", "k": "short",
    }  # fmt: skip
    columns = {column.name: column for column in description.schema.tables[0].columns}
    assert columns["g"].xtype == "timestamp"
    assert (columns["h"].arraysize, columns["j"].arraysize) == ("3", "*")
    assert "# The smallest value is -999. If it stands for a missing one:" in text
    assert "# source: {name: k, null: -999}" in text


def test_a_later_file_may_need_more(tmp_path: Path) -> None:
    for number, content in enumerate(["x,y\n1,2\n", "x,y\n1.5,99999\n"]):
        (tmp_path / f"{number}.csv").write_text(content)
    _, description = draft(tmp_path, tmp_path / "0.csv", tmp_path / "1.csv")
    assert datatypes(description) == {"x": "float", "y": "int"}


def test_units_in_names(tmp_path: Path) -> None:
    content = "#  RA[deg]  Dec[deg]  log10(E/GeV)  N(hits)\n 1 2 3 4\n 5 6 7 8\n"
    _, description = draft_of_text(tmp_path, content, "a.txt")
    (table,) = description.schema.tables
    assert [(column.name, column.unit) for column in table.columns] == [
        ("RA", "deg"), ("Dec", "deg"), ("log10_E", "log(GeV)"), ("N_hits", None),
    ]  # fmt: skip
    assert table.position == Position("RA", "Dec")
    assert description.inputs["a"].sources["RA"] == ColumnSource("RA[deg]")
    assert description.inputs["a"].options == FileOptions(format="text", header="comment")
    _, description = draft_of_text(tmp_path, "Time [s],Energy (TeV)\n1,2\n")
    assert [(column.name, column.unit) for column in description.schema.tables[0].columns] == [
        ("Time", "s"), ("Energy", "TeV"),
    ]  # fmt: skip


def test_files_without_names(tmp_path: Path) -> None:
    _, description = draft_of_text(tmp_path, "1.5\t2\n3\t4\n", "a.data")
    assert description.inputs["a"].options == FileOptions(format="tsv", header="no")
    assert description.inputs["a"].sources == {"col1": ColumnSource("1"), "col2": ColumnSource("2")}


def test_comments_in_csv(tmp_path: Path) -> None:
    _, description = draft_of_text(tmp_path, "# made by us\n# x\nra,dec\n1,2\n")
    assert description.inputs["events"].options == FileOptions(format="csv", comment="#")
    assert description.schema.tables[0].position == Position("ra", "dec")


def test_radians_are_converted(tmp_path: Path) -> None:
    table = Table({"ra": [1.0], "dec": [0.5]}, units={"ra": "rad", "dec": "rad"})
    table.write(tmp_path / "a.ecsv")
    _, description = draft(tmp_path, tmp_path / "a.ecsv")
    assert description.schema.tables[0].column("ra").unit == "deg"
    source = description.inputs["a"].sources["ra"]
    assert isinstance(source, ColumnSource)
    assert (source.name, source.unit) == ("ra", "rad")


def test_galactic_coordinates_are_converted(tmp_path: Path) -> None:
    _, description = draft_of_text(tmp_path, "glon,glat,e\n1,2,3\n")
    assert description.inputs["events"].position == PositionSource("glon", "glat", "galactic")
    assert [column.name for column in description.schema.tables[0].columns] == ["glon", "glat", "e", "ra", "dec"]


def test_rows_without_a_position_are_told_of(tmp_path: Path) -> None:
    text, description = draft_of_text(tmp_path, "ra,dec\n1,2\n,\n")
    assert "    # reject: skip" in text
    assert description.inputs["events"].bad_rows == "refuse"


def test_names_that_cannot_be_published(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    path = tmp_path / "public" / "my events.v2.csv"
    path.write_text("hpx,a b,A-B,ctid,3rd,null,ünï\n1,2,3,4,5,6,7\n", encoding="utf-8")
    text, description = draft(tmp_path, path)
    (table,) = description.schema.tables
    assert (table.schema, table.name) == ("public_", "my_events")
    assert [column.name for column in table.columns] == ["hpx_", "a_b", "A_B_", "ctid_", "col3rd", "null", "n"]
    assert 'source: "a b"' in text


def test_arrays_and_what_cannot_be_read(tmp_path: Path) -> None:
    columns = [
        fits.Column("vector", "3E", array=np.ones((2, 3))),
        fits.Column("flags", "4L", array=np.ones((2, 4), bool)),
        fits.Column("z", "C", array=np.ones(2)),
        fits.Column("text", "5A", array=["ab", "c"], unit="bananas"),
        fits.Column("odd", "E", array=[1, 2], unit="bananas"),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    text, description = draft(tmp_path, tmp_path / "a.fits")
    (table,) = description.schema.tables
    assert [(c.name, c.datatype, c.arraysize) for c in table.columns] == [
        ("vector", "float", "3"), ("flags", "boolean", "4"), ("text", "char", "*"), ("odd", "float", None),
    ]  # fmt: skip
    assert '# Left out: "z": it holds complex numbers' in text
    assert 'ivoa:unit: TODO  # the file says "bananas"' in text


def test_one_of_several_tables(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("first", "second"):
            file[name] = np.zeros(2, [(f"x_{name}", "f4")])
    with pytest.raises(IngestError, match="There is: first, second"):
        describe([tmp_path / "a.h5"])
    _, description = draft(tmp_path, tmp_path / "a.h5", table="second")
    assert description.inputs["a"].options.table == ("second",)
    assert datatypes(description) == {"x_second": "float"}


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["id", "RA", "DEC"], Pair("icrs", "RA", "DEC", False)),
        (["RAJ2000", "DEJ2000", "GLON", "GLAT"], Pair("icrs", "RAJ2000", "DEJ2000", False)),
        (["l", "b"], Pair("galactic", "l", "b", False)),
        (["nu_ra", "nu_dec", "ra", "dec"], Pair("icrs", "ra", "dec", False)),
        (["fit_ra_rad", "fit_dec_rad"], Pair("icrs", "fit_ra_rad", "fit_dec_rad", True)),
        (["nu_ra", "fit_dec"], None),
        (["extra", "decay"], None),
        (["b", "x"], None),
    ],
)
def test_pairs_of_coordinates(names: list[str], pair: Pair | None) -> None:
    assert find_pair(names) == pair


def test_what_names_suggest_is_valid() -> None:
    for known in known_names._MEANINGS.values():
        assert check_ucd(known.ucd) == known.ucd
        assert known.unit is None or check_unit(known.unit) == known.unit
    assert meaning(" MJD ") == known_names.Meaning("time.epoch", "d")
    assert meaning("unheard of") is None
