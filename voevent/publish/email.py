"""Events as mail, in plain text: what, where, when, how rare, and why this mail was sent.

Each recipient gets a mail of their own: one who is refused keeps none of the others waiting, and is noted.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from vo_service.config import Settings
from voevent.archive.store import StoredEvent
from voevent.packet import read_packet
from voevent.publish.messages import message_id
from voevent.publish.outbox import DeliveryError, RefusedError
from voevent.publish.settings import EmailSettings
from voevent.publish.text import subject_of, text_of


class EmailSink:
    """Some recipients, and the server that takes their mail. It has a thread of its own."""

    def __init__(self, settings: EmailSettings, service: Settings) -> None:
        self.name = settings.name
        self._settings = settings
        self._public_url = service.public_url
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink {settings.name}")
        self._served: tuple[int, set[str]] = (-1, set())
        """The event that is being delivered, and who has it."""

    async def deliver(self, event: StoredEvent) -> None:
        """Send an event to all recipients; returns when the server has taken all mails. Raises DeliveryError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, event)

    def _deliver(self, event: StoredEvent) -> None:
        if self._served[0] != event.event_id:
            self._served = (event.event_id, set())
        try:
            with self._connection() as server:
                waiting = [r for r in self._settings.recipients if r not in self._served[1]]
                refused = [reason for recipient in waiting if (reason := self._send(server, event, recipient))]
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"{self._settings.host}:{self._settings.port}: {error}") from None
        if refused:
            raise RefusedError(event.event_id, "; ".join(refused))

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        settings, context = self._settings, ssl.create_default_context()
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout, context=context
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)
        with server:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, settings.password.get_secret_value())
            yield server

    def _send(self, server: smtplib.SMTP, event: StoredEvent, recipient: str) -> str | None:
        """Send one mail; gives why it was refused for good (SMTP: 5xx, of recipient or content)."""
        answer: bytes | str
        try:
            server.send_message(self._mail(event, recipient))
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = error.recipients[recipient]
            refusal: smtplib.SMTPException = error
        except smtplib.SMTPDataError as error:
            code, answer, refusal = error.smtp_code, error.smtp_error, error
        else:
            self._served[1].add(recipient)
            return None
        if code < 500:
            raise refusal
        words = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
        return f"{recipient}: {code} {words}"

    def _mail(self, event: StoredEvent, recipient: str) -> EmailMessage:
        packet = read_packet(event.raw)
        mail = EmailMessage()
        mail["Subject"] = subject_of(packet, self._settings.subject)
        mail["From"] = self._settings.sender
        mail["To"] = recipient
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{message_id(event, 'voevent')}@{self._settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text_of(packet, self.name, self._settings.filters, self._public_url))
        return mail
