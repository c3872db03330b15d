"""The user-defined functions, as clients learn of them."""

from __future__ import annotations

import io

import pytest
from pyvo.io.vosi import parse_capabilities

from tap.capabilities import tap_capabilities
from tap.functions.registry import USER_DEFINED, functions_named
from vo_service.config import Settings
from vo_service.vosi.capabilities import capabilities_document

CATALOGUE = """
    ivo_healpix_index ivo_healpix_center ivo_epoch_prop_pos ivo_epoch_prop ivo_geom_transform ivo_to_jd ivo_to_mjd
    ivo_string_agg ivo_nocasematch ivo_hasword ivo_hashlist_has ivo_histogram ivo_normal_random ivo_interval_overlaps
    ivo_hms_to_degrees ivo_dms_to_degrees
"""
"""Those of the IVOA Catalogue of UDFs 1.2, all but ivo_simbadpoint, which asks a service elsewhere."""


def test_functions_of_the_catalogue_are_there() -> None:
    standard = {function.name for function in USER_DEFINED if function.name.startswith("ivo_")}
    assert standard == set(CATALOGUE.split())
    assert functions_named("ivo_simbadpoint") == ()


@pytest.mark.parametrize("name", CATALOGUE.split())
def test_pyvo_finds_them_in_the_capabilities(name: str) -> None:
    document = capabilities_document(tap_capabilities("http://x.org/tap", Settings()))
    (tap,) = (c for c in parse_capabilities(io.BytesIO(document), pedantic=True) if c.standardid.endswith("std/TAP"))
    (adql,) = tap.languages
    feature = adql.get_udf(name)
    assert feature.form.startswith(f"{name}(")
    assert (feature.form, feature.description) in [(f.signature, f.description) for f in functions_named(name)]
