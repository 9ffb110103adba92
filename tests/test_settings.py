"""Settings: one name everywhere, frozen, and a wrong one is a line that says how to mend it."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from dhpe.parameters import Parameters
from dhpe.settings import ModelSettings, Settings, SettingsError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No DHPE variable of the machine reaches these tests."""
    import os  # noqa: PLC0415 - the one place of the tests that looks at the whole environment

    for name in [name for name in os.environ if name.startswith("DHPE_")]:
        monkeypatch.delenv(name)


def fault_of(**environment: str) -> str:
    """What Settings.load says of an environment that it refuses."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            Settings.load()
    return str(caught.value)


def test_every_parameter_is_a_setting_of_the_same_name_and_default() -> None:
    """The truth that stands twice agrees: names, their order and defaults."""
    assert list(ModelSettings.model_fields) == [field.name for field in fields(Parameters)]
    assert Settings.load().parameters() == Parameters()


def test_every_parameter_reaches_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed setting changes the parameters, and so the digest in every output."""
    monkeypatch.setenv("DHPE_DEALER_SHARE", "0.25")
    changed = Settings.load().parameters()
    assert changed.dealer_share == 0.25
    assert changed.digest() != Parameters().digest()


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value says where it came from."""
    config = tmp_path / "dhpe.toml"
    config.write_text('http_port = 1001\nhttp_host = "0.0.0.0"\nlog_level = "debug"\n', encoding="utf-8")
    monkeypatch.setenv("DHPE_HTTP_PORT", "1002")
    monkeypatch.setenv("DHPE_HTTP_HOST", "::1")
    settings = Settings.load(config, http_port=1003)
    origins = {fact.name: (fact.value, fact.origin) for fact in settings.facts()}
    assert origins["http_port"] == ("1003", "command line")
    assert origins["http_host"] == ("::1", "environment DHPE_HTTP_HOST")
    assert origins["log_level"] == ("debug", str(config))
    assert origins["stale_after_s"] == ("30.0", "default")


def test_the_config_file_can_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has no command line to spare."""
    config = tmp_path / "dhpe.toml"
    config.write_text("rate = 0.045\n", encoding="utf-8")
    monkeypatch.setenv("DHPE_CONFIG", str(config))
    assert Settings.load().parameters().rate == 0.045


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files write VARIABLE=${VARIABLE:-}."""
    monkeypatch.setenv("DHPE_HTTP_PORT", "")
    monkeypatch.setenv("DHPE_KAFKA_BOOTSTRAP_SERVERS", "")
    settings = Settings.load()
    assert (settings.http_port, settings.kafka_bootstrap_servers) == (8080, None)


def test_settings_are_frozen() -> None:
    """Nobody changes a setting after the start."""
    settings = Settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.http_port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"DHPE_HTTP_PORT": "99999"},
            "DHPE_HTTP_PORT (environment): '99999': input should be less than or equal to 65535; the default is '8080'",
        ),
        (
            {"DHPE_SPOT_VOL_BETA": "1e999"},
            "DHPE_SPOT_VOL_BETA (environment): '1e999': input should be a finite number; unset it",
        ),
        (
            {"DHPE_HTP_PORT": "1"},
            "DHPE_HTP_PORT (environment): there is no such setting; did you mean DHPE_HTTP_PORT?",
        ),
        (
            {"DHPE_HTTP_TLS_KEY_FILE": "key.pem"},
            "DHPE_HTTP_TLS_KEY_FILE: is set without DHPE_HTTP_TLS_CERTIFICATE_FILE; set both or neither",
        ),
        (
            {"DHPE_CONFIG": "/nowhere/dhpe.toml"},
            "/nowhere/dhpe.toml: No such file or directory; name a readable TOML file with --config or DHPE_CONFIG",
        ),
    ],
    ids=["out of range", "not finite", "misspelt", "half a pair", "no such file"],
)
def test_a_wrong_setting_is_one_line_with_variable_fault_and_remedy(environment: dict[str, str], line: str) -> None:
    """The line names what the user typed, not what the library calls it."""
    assert fault_of(**environment) == line


def test_all_wrong_settings_are_named_at_once() -> None:
    """Nobody likes to mend them one start at a time."""
    text = fault_of(DHPE_HTTP_PORT="-1", DHPE_DEALER_SHARE="nan", DHPE_DEFAULT_BOOK="dealer")
    assert [line.split(" ")[0] for line in text.splitlines()] == [
        "DHPE_DEFAULT_BOOK",
        "DHPE_DEALER_SHARE",
        "DHPE_HTTP_PORT",
    ]


def test_a_wrong_name_in_the_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt setting must not silently keep its default."""
    config = tmp_path / "dhpe.toml"
    config.write_text("dealer_shares = 0.5\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"dealer_shares \(.*dhpe.toml\): there is no such .* mean dealer_share\?"):
        Settings.load(config)


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    """The parser's own line and column reach the user."""
    config = tmp_path / "dhpe.toml"
    config.write_text("http_port: 8080\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"dhpe\.toml: is not TOML: .*line 1"):
        Settings.load(config)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the facts, nor in a printed object, nor in an error."""
    monkeypatch.setenv("DHPE_HTTP_API_KEY", "very-secret")
    settings = Settings.load()
    assert settings.http_api_key is not None
    assert settings.http_api_key.get_secret_value() == "very-secret"
    assert "very-secret" not in repr(settings) + repr(settings.facts())


def test_variables_that_kubernetes_makes_for_a_service_named_dhpe_are_no_typos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cluster announces every service of a namespace in the environment of its pods."""
    monkeypatch.setenv("DHPE_PORT", "tcp://10.0.0.7:8080")
    monkeypatch.setenv("DHPE_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("DHPE_PORT_8080_TCP_ADDR", "10.0.0.7")
    assert Settings.load().http_port == 8080
