"""Words of publishers in the forms that registries ask for: licences, subjects, dates, DOIs, ORCID iDs, messengers."""

from __future__ import annotations

import re
from datetime import date
from typing import Final
from urllib.parse import quote

from vo_service.catalog.model import Resource

_DATA_LICENCES: Final = re.compile(
    r"CC0-1\.0|CC-BY(-NC)?(-SA|-ND)?-[1-4]\.[0-9]|PDDL-1\.0|ODC-By-1\.0|ODbL-1\.0|etalab-2\.0|DL-DE-(BY|ZERO)-2\.0"
    r"|MIT|BSD-[23]-Clause|Apache-2\.0|GPL-[23]\.0-(only|or-later)"
)
"""SPDX identifiers of licences under which data are published."""


def licence_uri(resource: Resource) -> str | None:
    """The SPDX address of the licence, which VOResource 1.2 (section 3.3) asks for; else the one that was given."""
    if resource.license and _DATA_LICENCES.fullmatch(resource.license):
        return f"https://spdx.org/licenses/{resource.license}.html"
    return resource.license_url


def spdx_identifier(resource: Resource) -> str | None:
    """The licence if it is an SPDX identifier."""
    return resource.license if resource.license and _DATA_LICENCES.fullmatch(resource.license) else None


def uat_term(subject: str) -> str:
    """A concept of the Unified Astronomy Thesaurus as the IVOA writes it: `Neutrino astronomy`, neutrino-astronomy."""
    return re.sub(r"[\s_/]+", "-", subject.strip()).lower()


def full_date(text: str | None) -> str | None:
    """A date of a description as VOResource has it, with month and day; None if it is no date.

    Of a date without them it is the first day: `xs:date` knows no others.
    """
    if text is None:
        return None
    parts = text.split("-")
    try:
        return date(*(int(part) for part in (*parts, "1", "1")[:3])).isoformat()
    except ValueError:
        return None


def doi_uri(doi: str) -> str:
    """A DOI as a URI (VOResource 1.2, section 3.1.1)."""
    return "doi:" + quote(doi.removeprefix("doi:"), safe="/:;().,-_~+")


def orcid_uri(orcid: str) -> str:
    """An ORCID iD as a URI."""
    return orcid if orcid.startswith("http") else f"https://orcid.org/{orcid}"
