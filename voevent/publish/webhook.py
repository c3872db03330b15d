"""Events by HTTP POST, one after the other, signed as the Standard Webhooks specification has it.

    webhook-id         the same for the same event, however often it is sent
    webhook-timestamp  seconds since 1970, of this attempt
    webhook-signature  v1, and the HMAC-SHA256 in base64 of ID.TIMESTAMP.BODY under the secret

Of the answer, only its status counts. 2xx confirms. 410 ends the sink. Redirections are not followed, and count with
401, 404, 405, 407, 408, 425, 429, 5xx and silence as troubles of the receiver: the event waits. All other 4xx refuse
this event.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from vo_service import __version__
from voevent.alert import AlertError
from voevent.archive.store import StoredEvent
from voevent.publish.messages import MEDIA_TYPES, message_id, message_of
from voevent.publish.outbox import DeliveryError, GoneError, RefusedError
from voevent.publish.settings import WebhookSettings, signing_key

_RECEIVER_IN_TROUBLE: Final = frozenset({401, 404, 405, 407, 408, 425, 429})
"""Answers below 500 that say nothing about the event."""

_REASON_LIMIT: Final = 300
"""Bytes of the answer that are read, for the reason that it gives."""


class WebhookSink:
    """One receiver. It has a thread of its own: one that hangs holds up no other sink."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._key = signing_key(settings.secret)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink {settings.name}")

    async def deliver(self, event: StoredEvent) -> None:
        """Send an event; returns when the receiver has confirmed it. Raises DeliveryError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, event)

    def _deliver(self, event: StoredEvent) -> None:
        try:
            body = message_of(event, self._settings.format)
        except AlertError as error:
            raise RefusedError(event.event_id, f"It does not fit our JSON: {error.message}", final=True) from None
        try:
            status, reason = self._post(body, self._headers(event, body))
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"{self._settings.url}: {error or type(error).__name__}") from None
        self._judge(event, status, reason)

    def _headers(self, event: StoredEvent, body: bytes) -> dict[str, str]:
        number = f"msg_{message_id(event, self._settings.format).hex}"
        moment = str(int(time.time()))
        return {
            "User-Agent": f"vo-service/{__version__}",
            **self._settings.headers,
            "Content-Type": MEDIA_TYPES[self._settings.format],
            "Connection": "close",
            "webhook-id": number,
            "webhook-timestamp": moment,
            "webhook-signature": signature(self._key, number, moment, body),
        }

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        parts = urlsplit(self._settings.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self._settings.timeout)
        try:
            connection.request("POST", parts._replace(scheme="", netloc="", fragment="").geturl() or "/", body, headers)
            answer = connection.getresponse()
            confirmed = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
            return answer.status, "" if confirmed else answer.read(_REASON_LIMIT).decode("utf-8", "replace").strip()
        finally:
            connection.close()

    def _judge(self, event: StoredEvent, status: int, reason: str) -> None:
        told = f"{self._settings.url} answers {status}{': ' if reason else ''}{reason}"
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status == HTTPStatus.GONE:
            raise GoneError(told)
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RECEIVER_IN_TROUBLE:
            raise RefusedError(event.event_id, told)
        raise DeliveryError(told)


def signature(key: bytes, number: str, moment: str, body: bytes) -> str:
    """What `webhook-signature` says (Standard Webhooks, "Symmetric signatures")."""
    digest = hmac.new(key, f"{number}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
