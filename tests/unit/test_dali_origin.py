"""Where results come from, as astropy reads it from the document (IVOA Note DataOrigin 1.2)."""

from __future__ import annotations

import io

import pytest
from astropy.io.votable import parse
from astropy.io.votable.dataorigin import extract_data_origin

from tests.support.documents import written
from vo_service.catalog.model import Column, Person, Resource, Table
from vo_service.config import Settings
from vo_service.dali.origin import origin
from vo_service.errors import UsageError
from vo_service.formats.base import ResultTable
from vo_service.formats.registry import find_format

COLUMNS = (Column("x", "int"),)
RESOURCE = Resource(
    title="Events",
    creators=(Person("A. Author"), Person("B. Author")),
    license="CC-BY-4.0",
    license_url="https://spdx.org/licenses/CC-BY-4.0",
    doi="10.1234/events",
    reference_url="https://example.org/events",
    version="2",
    date="2026-01-02",
)
SETTINGS = Settings(authority="org.example", publisher="The Institute", contact_email="help@example.org")


def test_astropy_finds_everything() -> None:
    table = Table("ev", "events", COLUMNS, resource=RESOURCE)
    infos = origin(SETTINGS, "ivo://ivoa.net/std/TAP", [table], query="SELECT 1 < 2")
    document = written(find_format(None).writer(ResultTable(COLUMNS, infos=infos)))
    found = extract_data_origin(parse(io.BytesIO(document)))
    assert found.query.publisher == "The Institute"
    assert found.query.service_protocol == "ivo://ivoa.net/std/TAP"
    assert found.query.query == "SELECT 1 < 2"
    assert found.query.contact == "help@example.org"
    assert found.query.request_date.endswith("Z")
    (dataset,) = found.origin
    assert dataset.data_ivoid == ["ivo://org.example/ev/events"]
    assert dataset.creator == ["A. Author", "B. Author"]
    assert dataset.citation == ["doi:10.1234/events"]
    assert dataset.rights == ["CC-BY-4.0"]
    assert dataset.rights_uri == ["https://spdx.org/licenses/CC-BY-4.0"]
    assert dataset.reference_url == ["https://example.org/events"]
    assert dataset.resource_version == ["2"]
    assert dataset.publication_date == ["2026-01-02"]


def test_what_is_not_known_is_left_out() -> None:
    names = [info.name for info in origin(Settings(), "ivo://ivoa.net/std/TAP", [Table("ev", "events", COLUMNS)])]
    assert names == ["standardID", "service_protocol", "server_software", "request_date", "data_ivoid"]


def test_version_of_votable() -> None:
    choice = find_format("application/x-votable+xml;serialization=tabledata;version=1.5")
    assert parse(io.BytesIO(written(choice.writer(ResultTable(COLUMNS))))).version == "1.5"
    with pytest.raises(UsageError, match=r"version=1\.1: expected one of 1\.4, 1\.5"):
        find_format("application/x-votable+xml;version=1.1").writer(ResultTable(COLUMNS))
