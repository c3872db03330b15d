"""From values to a page: the Jinja environment, its filters, and the HTTP response that carries a page."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from vo_service import __version__
from vo_service.catalog.model import Column, adql_name

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
"""The directory of the style sheet and the icon."""

# Pages hold no script and load nothing from elsewhere; should a description smuggle something in, it stays dead.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Live pages run a file of ours from `static/`, and read what it asks this service for.
_LIVE_POLICY = f"{_POLICY}; script-src 'self'; connect-src 'self'"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    # The catalogue may change at any moment.
    "Cache-Control": "no-cache",
}


def render(template: str, values: Mapping[str, object], *, status: int = 200, live: bool = False) -> HTMLResponse:
    """A page from `templates/`, with headers that keep it harmless; `live` if it runs a script from `static/`."""
    headers = _HEADERS | {"Content-Security-Policy": _LIVE_POLICY if live else _POLICY}
    return HTMLResponse(_environment.get_template(template).render(values), status_code=status, headers=headers)


def paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a text that has blank lines between them."""
    return [part.strip() for part in re.split(r"\n\s*\n", text or "") if part.strip()]


def web_url(text: str | None) -> str | None:
    """The text if it is a web address, so that it may become a link; None for anything else (`javascript:` ...)."""
    return text if text and re.match(r"https?://[^\s]+\Z", text) else None


def doi_url(doi: str) -> str | None:
    """The address that resolves a DOI written as `10.x/y`, `doi:10.x/y` or an address; None if it is no DOI."""
    match = re.fullmatch(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)", doi.strip(), re.IGNORECASE)
    return f"https://doi.org/{quote(match[1], safe='/:;().,-_~+')}" if match else None


def orcid_url(orcid: str) -> str | None:
    """The address of an ORCID iD written as digits or as an address; None if it is none."""
    match = re.fullmatch(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])", orcid.strip())
    return f"https://orcid.org/{match[1]}" if match else None


def column_type(column: Column) -> str:
    """VOTable datatype with the arraysize, as in `char(*)`."""
    return column.datatype if column.arraysize is None else f"{column.datatype}({column.arraysize})"


def python_literal(text: str) -> str:
    """The text as a string of Python in double quotes: JSON's strings are Python's, too."""
    return json.dumps(text, ensure_ascii=False)


@cache
def static_version(name: str) -> str:
    """Changes when a file in `static/` does, so that browsers may keep it for long."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "adql": adql_name,
        "column_type": column_type,
        "doi_url": doi_url,
        "literal": python_literal,
        "orcid_url": orcid_url,
        "paragraphs": paragraphs,
        "shell": shlex.quote,
        "web_url": web_url,
    }
    environment.globals |= {
        "static_version": static_version,
        "style_version": static_version("style.css"),
        "version": __version__,
    }
    return environment


_environment = _make_environment()
