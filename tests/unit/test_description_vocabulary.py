"""Units and UCDs against the standards' own lists."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from vo_service.catalog.vocabulary.ucd import check_ucd
from vo_service.catalog.vocabulary.unit import check_unit, conversion_factor, read_unit


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "deg",
        "GeV",
        "m.s**-2",
        "GeV**-1.cm**-2.s**-1",
        "m**(1/2)",
        "km/s",
        "log(GeV)",
        "sqrt(m)",
        "%",
        "0.1nm",
        "10**3.m",
    ],
)
def test_units(unit: str) -> None:
    assert check_unit(unit) == unit


@pytest.mark.parametrize(
    ("unit", "meant"),
    [
        ("day", "d"),
        ("degrees", "deg"),
        ("erg/cm2/s", "erg.s**-1.cm**-2"),
        ("cm-2", "cm**-2"),
        ("GeV cm^-2", "GeV.cm**-2"),
        ("1/yr", "yr**-1"),
        ("log10(eV)", "log(eV)"),
        (" deg", "deg"),
        ("seconds", "s"),
        ("ph/cm2/s", "photon.s**-1.cm**-2"),
    ],
)
def test_units_in_other_syntaxes(unit: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"is no unit in VOUnits syntax; did you mean {meant!r}")):
        check_unit(unit)
    assert read_unit(unit) == meant


@pytest.mark.parametrize("unit", ["parsecs per fortnight", "mjd", "log(day)", "e.g", "deg)", "log("])
def test_what_is_no_unit(unit: str) -> None:
    with pytest.raises(ValueError, match=r"is no unit in VOUnits syntax$"):
        check_unit(unit)
    assert read_unit(unit) is None


@pytest.mark.parametrize(
    ("source", "target", "factor"), [("rad", "deg", 57.29577951308232), ("TeV", "GeV", 1e3), ("s", "d", 1 / 86400)]
)
def test_conversion(source: str, target: str, factor: float) -> None:
    assert conversion_factor(source, target) == pytest.approx(factor, rel=1e-15)


def test_units_of_the_standard(shared: Path) -> None:
    """All units that VOUnits 1.1 knows, but those that astropy does not."""
    with (shared / "conformance/units-ucd/known-units.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    known = [row[0] for row in rows if row[5]]
    refused = {unit for unit in known if read_unit(unit) != unit}
    assert len(known) > 50
    assert refused <= {"Ba", "dB", "B", "Sun", "unknown", "UNKNOWN", "ta", "u", "Np", "sr2"}, refused


@pytest.mark.parametrize(
    ("ucd", "checked"),
    [
        ("pos.eq.ra;meta.main", "pos.eq.ra;meta.main"),
        ("POS.EQ.RA; Meta.Main", "pos.eq.ra;meta.main"),
        ("stat.error;phot.mag;em.opt.V", "stat.error;phot.mag;em.opt.V"),
        ("em.IR.K", None),
    ],
)
def test_ucds(ucd: str, checked: str | None) -> None:
    if checked is None:
        with pytest.raises(ValueError, match="cannot stand first"):
            check_ucd(ucd)
    else:
        assert check_ucd(ucd) == checked


@pytest.mark.parametrize(
    ("ucd", "message"),
    [
        ("meta.main", "'meta.main' cannot stand first"),
        ("pos.eq.ra;meta.id", "'meta.id' can only stand first"),
        ("pos.eq.rasc", "did you mean 'pos.eq.ra'"),
        ("phot.color.B-V", "any more; write 'phot.color;em.opt.B;em.opt.V'"),
        ("", "'' is no word of UCD1+"),
        ("pos.eq.ra;", "'' is no word of UCD1+"),
        ("POS_EQ_RA_MAIN", "'POS_EQ_RA_MAIN' is no word of UCD1"),
    ],
)
def test_what_is_no_ucd(ucd: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is what is tested)
        check_ucd(ucd)
    assert message in str(caught.value)


def test_words_of_the_standard(shared: Path) -> None:
    """Every word of the list, in every place, as its letter says."""
    lines = (shared / "conformance/units-ucd/ucd-list-1.6.txt").read_text().splitlines()
    words = [[part.strip() for part in line.split("|")[:2]] for line in lines if not line.startswith("#")]
    assert len(words) > 500
    for place, word in words:
        for ucd, allowed in ((word, place != "S"), (f"meta.note;{word}", place != "P")):
            try:
                fits = check_ucd(ucd) == ucd
            except ValueError:
                fits = False
            assert fits == allowed, (place, ucd)
