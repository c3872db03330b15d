"""What the file of alerts says of the sinks to send to."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from voevent.alert import Moment
from voevent.sources.kafka import Option, scram
from voevent.vtp.filters import Filter, read_filters

_SECRET: Final = "whsec_"  # noqa: S105 (the prefix of all of them)

RESERVED: Final = frozenset({"vtp", "matching"})
"""Names under which the broker keeps places of its own."""

_OURS: Final = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection"})

SUBJECT_WORDS: Final = ("role", "kind", "ivoid", "stream", "event", "author", "concept")
"""What may stand in the template of a subject."""


def _filter(conditions: object) -> Filter:
    """Conditions by their names; several of one name as a list, all of which must hold."""
    if isinstance(conditions, Filter):
        return conditions
    if not isinstance(conditions, Mapping):
        raise ValueError(  # noqa: TRY004 (pydantic takes this one)
            'expected conditions by their names, such as {role: observation, far: 1e-7, param: "E > 100"}'
        )
    params = [
        (str(name), str(value))
        for name, values in conditions.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    unknown = sorted({name for name, value in params if read_filters([(name, value)]) == (Filter(), [])})
    if unknown:
        known = "role, author, stream, param, cone, far and xpath-filter"
        raise ValueError(f"{', '.join(unknown)}: there are no such filters; expected {known}")
    wanted, faults = read_filters(params)
    if faults:
        raise ValueError("; ".join(faults))
    return wanted


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not url.isascii():
        raise ValueError(
            f"expected an address such as https://example.org/alerts, without user and password; got {url!r}"
        )
    return url


def _signing_key(secret: SecretStr) -> SecretStr:
    try:
        length = len(signing_key(secret))
    except binascii.Error:
        length = 0
    if not secret.get_secret_value().startswith(_SECRET) or not 24 <= length <= 64:
        raise ValueError(
            f"expected {_SECRET} and then 24 to 64 random bytes in base64, as `openssl rand -base64 32` gives them"
        )
    return secret


def signing_key(secret: SecretStr) -> bytes:
    """The key that a webhook's secret stands for (Standard Webhooks: `whsec_` and base64)."""
    return base64.b64decode(secret.get_secret_value().removeprefix(_SECRET), validate=True)


def _free_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[ -~]*", value):
            raise ValueError(f"expected a name without blanks and a value of one line of ASCII, got {name!r}")
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise ValueError(f"{name} is set by the sink")
    return headers


def _since(value: object) -> object:
    # YAML has made times of what looks like one.
    return value.isoformat() if isinstance(value, date) else value


def _own_name(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name} is the name of a sink of the broker itself")
    return name


Filters = Annotated[Filter, BeforeValidator(_filter)]


class _Sink(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: Annotated[str, Field(min_length=1), AfterValidator(_own_name)]
    """Under which its place among the events is kept: a sink of another name begins anew."""
    filters: Filters = Filter()
    """What it wants; all events, if not given, tests among them."""
    since: Annotated[Literal["newest", "oldest"] | Moment, BeforeValidator(_since)] = "newest"
    """Where it begins when it is new: after the newest event, with the oldest one, or with those stored from a time
    (UTC) on."""


class KafkaSettings(_Sink):
    """Topics of a Kafka cluster."""

    kind: Literal["kafka"]
    bootstrap: str = Field(min_length=1)
    """HOST:PORT of one of its brokers, or of several, separated by commas."""
    username: str | None = None
    password: SecretStr | None = None
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    tls: bool = True
    """Whether connections are encrypted, and the cluster's certificate is checked."""
    options: Mapping[str, Option] = Field(default={}, repr=False)
    """Of librdkafka; they have precedence over what the sink says, but for what its promises rest on."""
    topic_voevent: str | None = Field(default=None, min_length=1)
    """Topic for packets as they are."""
    topic_json: str | None = Field(default=None, min_length=1)
    """Topic for alerts in our JSON."""

    @model_validator(mode="after")
    def _has_topic(self) -> Self:
        if self.topic_voevent is None and self.topic_json is None:
            raise ValueError("expected topic_voevent, topic_json, or both")
        if self.topic_voevent == self.topic_json:
            raise ValueError("topic_voevent and topic_json: expected two topics")
        if (self.username is None) != (self.password is None):
            raise ValueError("expected a username and a password, or neither")
        return self

    def client(self) -> dict[str, Option]:
        """How the cluster is reached: librdkafka's configuration."""
        if self.username is None or self.password is None:
            reached = {"bootstrap.servers": self.bootstrap, "security.protocol": "ssl" if self.tls else "plaintext"}
            return {**reached, **self.options}
        word = self.password.get_secret_value()
        return {**scram(self.bootstrap, self.username, word, self.mechanism, tls=self.tls), **self.options}


class WebhookSettings(_Sink):
    """An address that each event is sent to by HTTP POST, signed."""

    kind: Literal["webhook"]
    url: Annotated[str, AfterValidator(_web_address)]
    secret: Annotated[SecretStr, AfterValidator(_signing_key)]
    """Key of the signatures, known to both sides: `whsec_` and base64."""
    headers: Annotated[dict[str, str], AfterValidator(_free_headers)] = Field(default_factory=dict, repr=False)
    """Headers to send beside ours."""
    timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds that the receiver may be silent."""
    format: Literal["json", "voevent"] = "json"


class EmailSettings(_Sink):
    """People who get a mail for each event."""

    kind: Literal["email"]
    host: str
    """The server that takes mail for delivery."""
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """Encryption begins after the greeting, at once, or never."""
    user: str | None = None
    password: SecretStr | None = None
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    recipients: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(min_length=1)
    """Each gets a mail of their own."""
    subject: str = "[{role}] {event}: {kind}"
    timeout: float = Field(default=30.0, gt=0, le=300)
    """Seconds that the server may be silent."""

    @model_validator(mode="before")
    @classmethod
    def _observations_unless_asked(cls, fields: Any) -> Any:  # noqa: ANN401 (any YAML)
        """Nobody is to be woken by a test: without a filter of roles, there are mails of observations only."""
        if not isinstance(fields, Mapping):
            return fields
        filters = fields.get("filters", {})
        return {**fields, "filters": {"role": "observation", **filters} if isinstance(filters, Mapping) else filters}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("expected both user and password, or neither")
        if self.user is not None and self.security == "none":
            raise ValueError("a password needs security: starttls or tls")
        try:
            self.subject.format_map(dict.fromkeys(SUBJECT_WORDS, ""))
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError(f"subject: expected text with {{{'}, {'.join(SUBJECT_WORDS)}}}") from None
        return self


SinkSettings = Annotated[KafkaSettings | WebhookSettings | EmailSettings, Field(discriminator="kind")]
"""One sink."""
