"""The whole validation: all areas in order, and where the schemas come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from vo_service.addresses import host_and_port
from vo_service.config import Settings
from vo_service.errors import UsageError
from vo_service.validation.client import ask
from vo_service.validation.datalink import check_datalink
from vo_service.validation.findings import BrokenError, Finding
from vo_service.validation.landing import check_landing
from vo_service.validation.moc import check_moc
from vo_service.validation.oai import check_oai
from vo_service.validation.obscore import check_obscore
from vo_service.validation.records import check_records
from vo_service.validation.schemas import Schemas
from vo_service.validation.services import check_services
from vo_service.validation.site import Site
from vo_service.validation.stilts import check_stilts
from vo_service.validation.vosi import check_vosi

AREAS: Final[tuple[tuple[str, Callable[[Site], Iterator[Finding]]], ...]] = (
    ("Registry (OAI-PMH)", check_oai),
    ("Records", check_records),
    ("Records against services", check_services),
    ("Landing pages", check_landing),
    ("VOSI", check_vosi),
    ("DataLink", check_datalink),
    ("MOC", check_moc),
    ("ObsCore", check_obscore),
    ("STILTS", check_stilts),
)


def validate(url: str, schemas: Path | None, *, thorough: bool) -> Iterator[tuple[str, list[Finding]]]:
    """The findings of each area, of the service at an address; those that say what was checked come first.

    Raises UsageError if there is no service, or no directory of schemas.
    """
    address = url.rstrip("/")
    try:
        ask(f"{address}/oai", {"verb": "Identify"})
    except BrokenError as error:
        raise UsageError(f"{error.address}: {error.message}") from None
    judge, reason = _schemas(schemas)
    site = Site(address, judge, reason, thorough=thorough)
    for title, check in AREAS:
        yield title, sorted(check(site), key=lambda finding: finding.kind != "CHECKED")


def local_address(settings: Settings) -> str:
    """Where a service of these settings answers on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 (compared, not bound)
    return f"http://{host_and_port(host, settings.port)}"


def cache_directory() -> Path:
    """Where fetched schemas are kept (XDG Base Directory 0.8)."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache_home) if cache_home.startswith("/") else Path.home() / ".cache"
    return base / "vo-service" / "schemas"


def _schemas(directory: Path | None) -> tuple[Schemas | None, str]:
    """The schemas, or why there are none."""
    if directory is not None:
        return Schemas(directory, fetching=False), ""
    cache = cache_directory()
    try:
        return Schemas(cache, fetching=True), ""
    except OSError as error:
        return None, f"{cache}: {error.strerror}"
