"""Settings: where they come from, and what is said of those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vo_service.config import Settings, load_settings
from vo_service.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("VO_SERVICE_"):
            monkeypatch.delenv(name)


def test_defaults_work_without_anything_set() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.maxrec_default <= settings.maxrec_limit


def test_command_line_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "service.toml"
    file.write_text('port = 1\nhost = "0.0.0.1"\ntitle = "from the file"\n')
    monkeypatch.setenv("VO_SERVICE_CONFIG", str(file))
    monkeypatch.setenv("VO_SERVICE_PORT", "2")
    monkeypatch.setenv("VO_SERVICE_HOST", "0.0.0.2")
    settings = load_settings(port=3, host=None)
    assert (settings.port, settings.host, settings.title) == (3, "0.0.0.2", "from the file")


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VO_SERVICE_DATABASE_URL", "")
    assert load_settings().database_url is None


def test_state_is_the_users_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert load_settings().state == Path("/data/vo-service")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_settings().state == Path("/home/somebody/.local/share/vo-service")


def test_state_of_root_is_a_system_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings().state == Path("/var/lib/vo-service")


def test_relative_state_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(state="here").state == tmp_path / "here"


def test_public_address_has_no_trailing_slash() -> None:
    assert load_settings(public_url="https://vo.example.org/km3/").public_url == "https://vo.example.org/km3"


def test_settings_do_not_show_secrets() -> None:
    settings = load_settings(database_url="postgresql://o:hidden@h/d", role_secret="hidden too")  # noqa: S106
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 99999}, "VO_SERVICE_PORT: .*65535"),
        ({"port": "http"}, "VO_SERVICE_PORT: .*integer"),
        ({"public_url": "vo.example.org"}, "VO_SERVICE_PUBLIC_URL: .*https://vo.example.org"),
        *(
            ({"public_url": url}, "VO_SERVICE_PUBLIC_URL: .*without query and fragment")
            for url in (
                "https://vo.example.org/a b",
                "https://vo.example.org/?a=b",
                "https://vo.example.org/#a",
                "https://vö.example.org",
                "https://vo.example.org/%zz",
                "https://vo.example.org:port",
            )
        ),
        ({"authority": "x"}, "VO_SERVICE_AUTHORITY: .*org.example.vo"),
        ({"sync_timeout": 0}, "VO_SERVICE_SYNC_TIMEOUT: .*greater than 0"),
        ({"maxrec_default": 11, "maxrec_limit": 10}, r"maxrec_default \(11\) is above maxrec_limit \(10\)"),
        ({"prot": 8000}, "no setting 'prot'"),
        ({"port": -1, "reader_pool_size": 0}, "VO_SERVICE_PORT: .*; VO_SERVICE_READER_POOL_SIZE: "),
    ],
)
def test_what_cannot_be_used_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_settings(**options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = ", "is not TOML"),
        ("prot = 8000", "no setting 'prot'"),
        ("port = 'x'", "VO_SERVICE_PORT: "),
        (None, "cannot read .*No such file"),
    ],
)
def test_faults_of_the_file_are_named(
    text: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "service.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("VO_SERVICE_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=words):
        load_settings()


def test_every_setting_is_described() -> None:
    source = Path(__file__).resolve().parents[2].joinpath("vo_service", "config.py").read_text(encoding="utf-8")
    body = source[source.index("class Settings") : source.index("@model_validator")]
    undescribed = [name for name in Settings.model_fields if f"{name}: " not in body or not _described(body, name)]
    assert not undescribed


def _described(body: str, name: str) -> bool:
    after = body[body.index(f"    {name}: ") :].split("\n    ")
    return any(line.startswith('"""') for line in after[1:3])
