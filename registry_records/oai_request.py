"""Requests of OAI-PMH 2.0: verbs and their arguments (sections 3 and 4), checked; and everything that can be wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from registry_records.stamps import BEGINNING, END, Span
from registry_records.tokens import Place, read_token
from vo_service.errors import UsageError

MANAGED: Final = "ivo_managed"
"""The set of what this registry itself publishes: all its records (Registry Interfaces 1.1, section 3.2)."""

IVO_VOR: Final = "ivo_vor"
DC: Final = "oai_dc"
PREFIXES: Final = (IVO_VOR, DC)


@dataclass(frozen=True, slots=True)
class _Verb:
    """The arguments of a verb; `resumptionToken`, where there is one, stands alone."""

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    resumable: bool = False


_LIST = _Verb(frozenset({"metadataPrefix"}), frozenset({"from", "until", "set"}), resumable=True)

VERBS: Final = {
    "Identify": _Verb(),
    "ListMetadataFormats": _Verb(optional=frozenset({"identifier"})),
    "ListSets": _Verb(resumable=True),
    "GetRecord": _Verb(frozenset({"identifier", "metadataPrefix"})),
    "ListIdentifiers": _LIST,
    "ListRecords": _LIST,
}

# Types of the schema of OAI-PMH: what breaks them cannot be repeated in an answer.
_PATTERNS: Final = {
    "metadataPrefix": re.compile(r"[A-Za-z0-9\-_.!~*'()]+"),
    "set": re.compile(r"[A-Za-z0-9\-_.!~*'()]+(:[A-Za-z0-9\-_.!~*'()]+)*"),
    "identifier": re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9_.!~*'();/?:@&=+$,#%-]+"),
}

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SECOND: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


class OaiError(UsageError):
    """An error with its code of OAI-PMH (section 3.6); `arguments` are those that the answer repeats."""

    def __init__(self, code: str, message: str, arguments: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.arguments = arguments or {}


@dataclass(frozen=True, slots=True)
class OaiRequest:
    """A request that can be answered, with its arguments as they were sent."""

    verb: str
    arguments: dict[str, str]

    def error(self, code: str, message: str) -> OaiError:
        """An error that repeats the arguments."""
        return OaiError(code, message, {"verb": self.verb} | self.arguments)


def read_request(pairs: Sequence[tuple[str, str]]) -> OaiRequest:
    """A request from its arguments. Raises OaiError (badVerb, badArgument)."""
    verbs = [value for name, value in pairs if name == "verb"]
    if len(verbs) != 1 or verbs[0] not in VERBS:
        found = "is missing" if not verbs else "is repeated" if len(verbs) > 1 else f"{verbs[0][:60]!r} is none"
        raise OaiError("badVerb", f"The verb {found}; expected one of {', '.join(VERBS)}")
    rest = [(name, value) for name, value in pairs if name != "verb"]
    arguments = dict(rest)
    if len(arguments) < len(rest):
        raise OaiError("badArgument", "An argument is repeated")
    _check_names(verbs[0], VERBS[verbs[0]], arguments)
    for name, pattern in _PATTERNS.items():
        if name in arguments and not pattern.fullmatch(arguments[name]):
            raise OaiError("badArgument", f"{name}={arguments[name][:60]} is not of the form that OAI-PMH prescribes")
    if "from" in arguments or "until" in arguments:
        _read_span(arguments)
    return OaiRequest(verbs[0], arguments)


def _check_names(name: str, verb: _Verb, arguments: dict[str, str]) -> None:
    if verb.resumable and "resumptionToken" in arguments:
        if len(arguments) > 1:
            raise OaiError("badArgument", "resumptionToken excludes all other arguments")
        return
    if unknown := arguments.keys() - verb.required - verb.optional:
        raise OaiError("badArgument", f"{name} has no argument {min(unknown)[:60]!r}")
    if missing := verb.required - arguments.keys():
        raise OaiError("badArgument", f"{name} needs the argument {min(missing)}")


def checked_prefix(request: OaiRequest) -> str:
    """The format that is asked for. Raises OaiError (cannotDisseminateFormat)."""
    prefix = request.arguments["metadataPrefix"]
    if prefix not in PREFIXES:
        raise request.error("cannotDisseminateFormat", f"There is no format {prefix}; expected {' or '.join(PREFIXES)}")
    return prefix


def read_place(request: OaiRequest) -> Place:
    """Where in which list a request of a list goes on. Raises OaiError (badResumptionToken, noRecordsMatch, ...)."""
    token = request.arguments.get("resumptionToken")
    if token is not None:
        place = read_token(token)
        if place is None or place.prefix not in PREFIXES:
            raise request.error("badResumptionToken", "This resumptionToken is not one of ours")
        return place
    prefix = checked_prefix(request)
    if request.arguments.get("set", MANAGED) != MANAGED:
        raise request.error("noRecordsMatch", f"There is no set {request.arguments['set']}, but {MANAGED}")
    return Place(prefix=prefix, span=_read_span(request.arguments))


def _read_span(arguments: dict[str, str]) -> Span:
    """From the start of `from` to the end of `until`. Raises OaiError (badArgument)."""
    kinds = {bool(_DAY.fullmatch(arguments[name])) for name in ("from", "until") if name in arguments}
    if len(kinds) > 1:
        raise OaiError("badArgument", "from and until must have the same granularity")
    since = _moment("from", arguments["from"]) if "from" in arguments else BEGINNING
    until = _moment("until", arguments["until"]) if "until" in arguments else END
    if "from" in arguments and since > until:
        raise OaiError("badArgument", "from is later than until")
    step = timedelta(days=1) if True in kinds else timedelta(seconds=1)
    return Span(since, until + step if until < END - step else END)


def _moment(name: str, text: str) -> datetime:
    if _DAY.fullmatch(text) or _SECOND.fullmatch(text):
        try:
            return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
        except ValueError:
            pass
    raise OaiError("badArgument", f"{name}={text[:60]}: expected YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ")
