"""Reclustering on a real database: what changes (the order of rows), what does not (everything else), and who notices."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.database import execute, new_database
from tests.support.served import served
from vo_service.catalog.description import Description, load_description
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import NotFoundError, UsageError
from vo_service.ingest import duplicate
from vo_service.ingest.load import load
from vo_service.ingest.recluster import recluster

ROWS = 3000
"""Of each load."""

LOADS = 8

DESCRIPTION = """
name: Grown
description: Events of a test
resource: {title: Test}
tables:
  - name: Events
    primaryKey: event_id
    position: {}
    epoch: mjd
    columns:
      - {name: event_id, datatype: long}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra;meta.main}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec;meta.main}
      - {name: mjd, datatype: double, "ivoa:unit": d, indexed: true}
      - {name: label, datatype: unicode, "votable:arraysize": "*"}
  - name: notes
    columns: [{name: text, datatype: char, "votable:arraysize": "*"}]
"""
TABLE = '"Grown"."Events"'


def write_rows(path: Path, number: int) -> Path:
    """A file with the rows of one load; NULLs among them."""
    random = np.random.default_rng(number)
    ids = np.arange(number * ROWS, (number + 1) * ROWS)
    labels = pa.array([None if i % 7 == 0 else f"ä{i}" for i in ids])
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, ROWS)))
    columns = {"event_id": ids, "ra": random.uniform(0, 360, ROWS), "dec": dec, "mjd": random.uniform(5e4, 6e4, ROWS)}
    pa.parquet.write_table(pa.table({**columns, "label": labels}), path)
    return path


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Description:
    path = tmp_path_factory.mktemp("description") / "description.yaml"
    path.write_text(DESCRIPTION, encoding="utf-8")
    return load_description(path)


@pytest.fixture
def grown(each_server: Access, described: Description, tmp_path: Path) -> Iterator[Access]:
    """A database with a table that was loaded in parts: a place on the sky is in as many places of the table."""
    with new_database(each_server) as access:
        initialise(access)
        for number in range(LOADS):
            path = write_rows(tmp_path / f"Events{number}.parquet", number)
            load(access, one_table(described), [path], mode="append" if number else "create")
        yield access


def one_table(described: Description) -> Description:
    from dataclasses import replace

    return replace(described, schema=replace(described.schema, tables=described.schema.tables[:1]))


def ask(access: Access, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return execute(access.writer.conninfo, query, *parameters)


def unordered(access: Access) -> int:
    """Rows that stand before one with a smaller index."""
    ((number,),) = ask(
        access,
        f"SELECT count(*) FILTER (WHERE next < hpx) FROM (SELECT hpx, lead(hpx) OVER (ORDER BY ctid) AS next FROM {TABLE}) t",
    )
    return int(number)
