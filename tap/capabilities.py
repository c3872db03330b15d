"""What the TAP service says of itself (TAPRegExt 1.0, and TAP 1.1, section 2.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tap.examples import STANDARD as EXAMPLES
from tap.functions.features import FEATURES, UDF_FEATURE
from tap.functions.registry import USER_DEFINED
from vo_service.config import Settings
from vo_service.formats.base import Format
from vo_service.formats.registry import FORMATS
from vo_service.obscore.tables import OBSCORE
from vo_service.vosi.capabilities import Capability, SimpleCapability, add_interface, vosi_capabilities
from vo_service.vosi.documents import Element, add


@dataclass(frozen=True, slots=True)
class TapCapability:
    """The capability of the TAP service."""

    url: str
    settings: Settings
    formats: Iterable[Format] = FORMATS

    def add_to(self, document: Element) -> None:
        settings = self.settings
        capability = add(document, "capability", standardID="ivo://ivoa.net/std/TAP", type_="tr:TableAccess")
        add(capability, "description", _manners(settings))
        add_interface(capability, self.url, version="1.1")
        add(capability, "dataModel", "ObsCore 1.1", ivo_id=OBSCORE)
        _add_language(capability)
        for format_ in self.formats:
            element = add(capability, "outputFormat", ivo_id=format_.ivoid)
            add(element, "mime", format_.mime_type)
            for alias in format_.aliases:
                add(element, "alias", alias)
        for method in ("inline", "http", "https"):
            add(capability, "uploadMethod", ivo_id=f"ivo://ivoa.net/std/TAPRegExt#upload-{method}")
        retention = add(capability, "retentionPeriod")
        add(retention, "default", settings.job_lifetime)
        add(retention, "hard", settings.job_lifetime_limit)
        duration = add(capability, "executionDuration")
        add(duration, "default", settings.async_timeout)
        add(duration, "hard", settings.async_timeout_limit)
        rows = add(capability, "outputLimit")
        add(rows, "default", settings.maxrec_default, unit="row")
        add(rows, "hard", settings.maxrec_limit, unit="row")
        upload = add(capability, "uploadLimit")
        # Both hold; the schema has no place for two hard limits.
        add(upload, "default", settings.upload_limit_rows, unit="row")
        add(upload, "hard", settings.upload_limit_bytes, unit="byte")


def tap_capabilities(address: str, settings: Settings) -> tuple[Capability, ...]:
    """All capabilities of the service at `address`."""
    examples = SimpleCapability(EXAMPLES, f"{address}/examples", version="1.1")
    return (TapCapability(address, settings), *vosi_capabilities(address), examples)


def _manners(settings: Settings) -> str:
    """Limits for which TAPRegExt has no elements."""
    return (
        f"Synchronous queries end after {settings.sync_timeout:g} seconds; asynchronous ones may take longer."
        f" {settings.queries_per_client} synchronous queries of one client run at once, and {settings.queries_limit} of"
        f" all; those that wait longer than {settings.busy_timeout:g} seconds get status 429 with Retry-After."
    )


def _add_language(capability: Element) -> None:
    language = add(capability, "language")
    add(language, "name", "ADQL")
    for version in ("2.0", "2.1"):
        add(language, "version", version, ivo_id=f"ivo://ivoa.net/std/ADQL#v{version}")
    add(language, "description", "The Astronomical Data Query Language of the IVOA")
    for kind, forms in FEATURES.items():
        features = add(language, "languageFeatures", type=kind)
        for form in forms:
            add(add(features, "feature"), "form", form)
    functions = add(language, "languageFeatures", type=UDF_FEATURE)
    for function in USER_DEFINED:
        feature = add(functions, "feature")
        add(feature, "form", function.signature)
        add(feature, "description", function.description)
