"""The sample of `vo-service demo`: simulated events and a table of real alerts, loaded as users load their own files.

`events.yaml` describes what `simulation` makes, `alerts.yaml` what stands in `alerts.csv`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from vo_service.catalog.description import load_description
from vo_service.catalog.store import read_catalog
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.demo.simulation import simulate_events
from vo_service.ingest.load import load

HERE = Path(__file__).parent


def load_demo(access: Access) -> None:
    """Load and publish the tables of the sample that are not published yet; what is there stays as it is.

    Raises IngestError or UnavailableError.
    """
    with connect(access.writer.conninfo) as connection:
        catalog = read_catalog(connection)
    with TemporaryDirectory(prefix="vo-service-demo-") as directory:
        for name, file_in in FILES.items():
            if catalog.table("demo", name) is None:
                load(access, load_description(HERE / f"{name}.yaml"), [file_in(Path(directory))])


def _events_file(directory: Path) -> Path:
    path = directory / "events.parquet"
    pq.write_table(simulate_events(), path)
    return path


def _alerts_file(_: Path) -> Path:
    return HERE / "alerts.csv"


FILES: dict[str, Callable[[Path], Path]] = {"events": _events_file, "alerts": _alerts_file}
"""By table, what provides its file; a file that has to be made is written to the directory given."""
