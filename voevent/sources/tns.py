"""The IAU's Transient Name Server: asked at intervals for the objects that became public since the last time.

Facts: the TNS API manual as the public clients follow it. A bot names itself in the header User-Agent; the form field
`data` is JSON; `get/search` lists the objects of a time, `get/object` gives one; status 429 asks to wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, Final, Literal
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from pydantic import Field

from voevent.sources.intake import Intake, Message, SourceError
from voevent.sources.stream import StreamSettings

_PART: Final = "public_timestamp"
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_TIMEOUT: Final = 30.0
_LARGEST: Final = 16_777_216

log = logging.getLogger(__name__)


class TNS(StreamSettings):
    """The public objects of TNS.

    Attributes
    ----------
    bot_id, bot_name, api_key
        Of the bot, as TNS gives them.
    url
        `https://sandbox.wis-tns.org` for tests.
    interval
        Seconds from one look to the next.
    since
        Where a source that is new begins (UTC); now if not given.
    """

    kind: Literal["tns"]
    bot_id: int
    bot_name: str
    api_key: str = Field(repr=False)
    url: str = Field(default="https://www.wis-tns.org", pattern=r"^https?://[^\s/?#]+$")
    interval: float = Field(default=600.0, gt=0)
    since: datetime | None = None


class TNSPolling:
    """The polling of TNS."""

    def __init__(self, settings: TNS, intake: Intake) -> None:
        self._settings = settings
        self._intake = intake
        self._stream = settings.stream_of("tns", intake.authority)

    async def follow(self) -> None:
        """Ask, for ever. Raises SourceError if TNS cannot be asked."""
        known = (await self._intake.positions()).get(_PART)
        since = datetime.fromisoformat(known) if known else self._first()
        if known is None:
            await self._intake.advance({_PART: since.isoformat()})
        while True:
            since = await self._look(since)
            await asyncio.sleep(self._settings.interval)

    def _first(self) -> datetime:
        start = self._settings.since or datetime.now(UTC)
        return (start.astimezone(UTC) if start.tzinfo else start).replace(tzinfo=None, microsecond=0)

    async def _look(self, since: datetime) -> datetime:
        """Take in what became public since a time; gives the time to ask for next."""
        found, asked_at = await self._ask("search", {"public_timestamp": since.strftime(_TIME)})
        objects = _reply(found)
        self._intake.condition.heard(lag=len(objects))
        for left, summary in enumerate(objects):
            answer, _ = await self._ask(
                "object", {"objname": summary["objname"], "objid": summary.get("objid"), "photometry": 0, "spectra": 0}
            )
            await self._intake.take_in([self._message(summary["objname"], answer)])
            self._intake.condition.heard(lag=len(objects) - left - 1)
        # By the clock of TNS. What becomes public in the second of the answer is asked for again.
        following = max(since, asked_at - timedelta(seconds=1))
        await self._intake.advance({_PART: following.isoformat()})
        return following

    def _message(self, name: str, answer: bytes) -> Message:
        host = urlsplit(self._settings.url).netloc
        return Message(part=_PART, position=name, data=answer, kind="tns", stream=self._stream, origin=f"tns:{host}")

    async def _ask(self, what: str, data: dict[str, Any]) -> tuple[bytes, datetime]:
        """An answer of the API, and when it was given (UTC)."""
        while True:
            try:
                return await asyncio.to_thread(self._post, f"{self._settings.url}/api/get/{what}", data)
            except HTTPError as error:
                pause = _pause(error)
                if pause is None:
                    raise SourceError(f"{what}: TNS answers {error.code} {error.reason}") from None
                log.info("Source %s: TNS asks to wait for %g s", self._settings.name, pause)
                await asyncio.sleep(pause)
            except (OSError, HTTPException) as error:
                raise SourceError(f"{what}: {error or type(error).__name__}") from None

    def _post(self, url: str, data: dict[str, Any]) -> tuple[bytes, datetime]:
        bot = {"tns_id": self._settings.bot_id, "type": "bot", "name": self._settings.bot_name}
        form = urlencode({"api_key": self._settings.api_key, "data": json.dumps(data)}).encode()
        request = Request(url, form, {"User-Agent": f"tns_marker{json.dumps(bot)}"})  # noqa: S310 (http or https)
        with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            body: bytes = answer.read(_LARGEST)
            date = answer.headers["Date"]
        moment = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return body, moment.astimezone(UTC).replace(tzinfo=None)


def _pause(error: HTTPError) -> float | None:
    """Seconds that TNS asks to wait; None if the error is another."""
    if error.code != 429:
        return None
    asked = error.headers.get("x-rate-limit-reset") or error.headers.get("Retry-After") or ""
    return min(max(float(asked), 1.0), 3600.0) if asked.isdecimal() else 60.0


def _reply(answer: bytes) -> list[dict[str, Any]]:
    """The objects that a search has found, each with `objname`. Raises SourceError if the answer is no such list."""
    try:
        data = json.loads(answer)["data"]
        # Until 2024 the list was one level deeper.
        objects = data["reply"] if isinstance(data, dict) and "reply" in data else data
        if all(isinstance(found["objname"], str) for found in objects):
            return list(objects)
    except (ValueError, LookupError, TypeError):
        pass
    raise SourceError(f"search: expected a list of objects, TNS answers {answer[:200]!r}")
