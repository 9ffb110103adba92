"""The only reader of the environment and of the config file.

Every setting has one name: ``http_port`` here and in the TOML file, ``DHPE_HTTP_PORT`` in the environment,
``--http-port`` never more than a few of them on the command line. The command line beats the environment, the
environment beats the file, the file beats the default. Settings are frozen once read; those that change results
become ``Parameters``, whose digest stands in every output.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, model_validator

from dhpe.field_outputs import FieldLimits
from dhpe.model_settings import PREFIX, Count, ModelSettings, NotNegative, Positive

CONFIG_VARIABLE: Final = "DHPE_CONFIG"

# Kubernetes announces a service named dhpe to every pod of its namespace in variables of these shapes.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_NOT_SETTINGS: Final = (CONFIG_VARIABLE, "DHPE_TEST_", "DHPE_BROKER_")

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(ValueError):
    """A setting that cannot be used: one line for each, with its variable, the fault and the remedy."""


class SettingFact(NamedTuple):
    """One setting as ``dhpe doctor`` and the documents show it; a secret's value is masked."""

    name: str
    variable: str
    value: str
    origin: str
    description: str


class Settings(ModelSettings):
    """All settings. Units are the last word of each name; secrets are never printed."""

    # the log
    kafka_bootstrap_servers: str | None = Field(None, description="host:port, …; unset = the embedded log")
    embedded_log_path: Path = Field(Path("dhpe-log.sqlite"), description="file of the embedded log")
    embedded_log_bytes_max: int = Field(
        8 << 30, ge=1 << 20, description="of that file; beyond it the oldest inputs and pressures go before their time"
    )
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="stands before every topic's name")
    topic_partitions: int = Field(12, ge=1, le=10_000, description="fixed when the topics are created")
    topic_replication_factor: Count = Field(1, description="fixed when the topics are created")
    inputs_retention_s: Positive = Field(
        7 * 86_400.0, description="topics chain, ticks, pressure, journal and dead letters"
    )
    alerts_retention_s: Positive = Field(30 * 86_400.0, description="topic alerts")
    state_bytes_max: int = Field(
        1 << 30, ge=1 << 20, description="kept of topic state in each partition; the oldest states are deleted"
    )
    message_bytes_max: int = Field(1_048_576, ge=1_024, le=64 << 20, description="a longer input is a dead letter")
    message_records_max: Count = Field(100_000, description="records of one array or column message")
    on_data_loss: Literal["stop", "earliest"] = Field("stop", description="when the log has lost what was not yet read")

    # Kafka
    kafka_group: str = Field("dhpe", pattern=r"^[A-Za-z0-9._-]{1,200}$", description="also in transactional ids")
    kafka_group_instance_id: str | None = Field(None, description="static membership, such as a StatefulSet's ordinal")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the brokers are spoken to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="with a SASL protocol"
    )
    kafka_sasl_username: str | None = Field(None, description="with a SASL protocol")
    kafka_sasl_password: SecretStr | None = Field(None, description="with a SASL protocol")
    kafka_ssl_ca_file: Path | None = Field(
        None, description="certificate authority of the brokers; unset = the system's"
    )
    kafka_ssl_certificate_file: Path | None = Field(None, description="our certificate")
    kafka_ssl_key_file: Path | None = Field(None, description="key of our certificate")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="where the key is encrypted")
    kafka_connect_timeout_s: Positive = Field(10.0, description="until an unreachable broker is reported")
    kafka_request_timeout_s: Positive = Field(30.0, description="of one request")
    kafka_session_timeout_s: Positive = Field(45.0, description="a silent worker loses its partitions after it")
    kafka_heartbeat_interval_s: Positive = Field(3.0, description="a third of the session timeout at most")
    kafka_poll_interval_max_s: Positive = Field(
        300.0, description="a worker that does not fetch loses its partitions after it"
    )
    kafka_transaction_timeout_s: Positive = Field(15.0, description="readers stall this long after a crash")
    kafka_linger_ms: int = Field(2, ge=0, le=1_000, description="wait for more records of a batch")
    kafka_batch_bytes_max: int = Field(262_144, ge=1_024, le=16 << 20, description="of a produced batch")
    kafka_compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = Field(
        "lz4", description="of produced batches"
    )
    kafka_fetch_bytes_max: int = Field(8 << 20, ge=65_536, le=256 << 20, description="of one fetch")

    # steps
    step_records_max: Count = Field(10_000, description="log records (messages) of one step")
    step_wait_ms: int = Field(20, ge=1, le=10_000, description="longest wait for the first record of a step")
    snapshot_interval_s: Positive = Field(30.0, description="longest time between two kept states of a partition")
    snapshot_records_max: Count = Field(50_000, description="input messages between two kept states: a restart's work")
    explain_timeout_s: Positive = Field(120.0, description="for computing one alert anew")
    progress_timeout_s: Positive = Field(60.0, description="a lag without progress for so long ends the process")
    ready_lag_s: Positive = Field(30.0, description="a larger lag is not ready")
    drain_timeout_s: Positive = Field(10.0, description="after SIGTERM, for the step under way")
    field_interval_s: NotNegative = Field(5.0, description="least time between two fields of an underlying; 0 = none")
    field_core_share_max: float = Field(0.25, gt=0, le=1, description="of one CPU core, for all fields of a process")
    field_points_max: int = Field(401, ge=5, le=2_001, description="prices of a profile and of the potential")
    field_grid_points_max: int = Field(101, ge=5, le=401, description="prices of the grid over time")
    field_grid_instants: int = Field(9, ge=2, le=49, description="instants of the grid over time")
    field_strikes_max: Count = Field(1_000, description="strikes of a field, those nearest to the spot")
    field_expiries_max: Count = Field(200, description="expiries of a field, those that settle first")
    field_retention_s: Positive = Field(3_600.0, description="topic field")

    # HTTP
    http_host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    http_port: Port = Field(8080, description="0 takes a free port")
    http_api_key: SecretStr | None = Field(None, description="asked of /v1 as X-API-Key; unset = open")
    http_tls_certificate_file: Path | None = Field(None, description="serve HTTPS")
    http_tls_key_file: Path | None = Field(None, description="key of the certificate")
    http_tls_key_password: SecretStr | None = Field(None, description="where the key is encrypted")
    http_proxy_addresses: str = Field(
        "", description="addresses, with commas, of proxies whose X-Forwarded-For is believed"
    )
    http_requests_per_minute: int = Field(
        6_000, ge=0, description="per client address (IPv6: its /64); 0 = no limit; beyond it 429"
    )
    http_connections_max: Count = Field(500, description="open connections, streams included; one more gets 503")
    http_head_bytes_max: int = Field(16_384, ge=1_024, le=1 << 20, description="of a request's line and headers")
    http_body_bytes_max: Count = Field(1_048_576, description="of a request's body; a longer one gets 413")
    http_request_timeout_s: Positive = Field(10.0, description="for a client to send its request, head and body each")
    http_send_timeout_s: Positive = Field(30.0, description="a client that reads nothing for so long is cut off")
    http_idle_timeout_s: Positive = Field(5.0, description="between two requests of a connection")
    http_shutdown_timeout_s: Positive = Field(5.0, description="for open requests, after SIGTERM")
    stream_clients_max: Count = Field(200, description="open /v1/stream connections")
    stream_clients_of_address_max: Count = Field(20, description="of those, from one address; beyond it 429")
    stream_queue_max: Count = Field(256, description="events kept for a slow stream client before it is dropped")
    stream_heartbeat_s: Positive = Field(10.0, description="comment on an idle stream")
    stream_interval_ms: int = Field(100, ge=0, le=10_000, description="a client gets each underlying at most so often")
    history_points_max: Count = Field(1_200, description="points of the headline kept per underlying for the page")
    history_interval_ms: Count = Field(500, description="event time between two of those points")
    stale_after_s: Positive = Field(30.0, description="an older output is answered with nulls and `stale`")
    recent_alerts_max: Count = Field(1_000, description="alerts kept for GET /v1/{underlying}/alerts")
    fields_max: Count = Field(256, description="underlyings whose field the API keeps")

    # what the operator reads
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        """Refuse a half-given pair: it would silently fall back to something weaker."""
        for first, second in (
            ("http_tls_certificate_file", "http_tls_key_file"),
            ("kafka_ssl_certificate_file", "kafka_ssl_key_file"),
            ("kafka_sasl_username", "kafka_sasl_password"),
        ):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                given, missing = (first, second) if getattr(self, second) is None else (second, first)
                msg = f"{variable(given)}: is set without {variable(missing)}; set both or neither"
                raise ValueError(msg)
        protocol, name = self.kafka_security_protocol, variable("kafka_security_protocol")
        if protocol.startswith("SASL") and self.kafka_sasl_username is None:
            msg = f"{name}: SASL needs {variable('kafka_sasl_username')} and _PASSWORD"
            raise ValueError(msg)
        if self.kafka_sasl_username is not None and not protocol.startswith("SASL"):
            msg = f"{variable('kafka_sasl_username')}: {protocol} sends no password; set {name}=SASL_SSL"
            raise ValueError(msg)
        if self.kafka_ssl_certificate_file is not None and not protocol.endswith("SSL"):
            msg = f"{variable('kafka_ssl_certificate_file')}: {protocol} shows no certificate; set {name}=SSL"
            raise ValueError(msg)
        return self

    def field_limits(self) -> FieldLimits:
        """How much of each kind one field may hold."""
        return FieldLimits(
            strikes_max=self.field_strikes_max,
            expiries_max=self.field_expiries_max,
            points_max=self.field_points_max,
            grid_points_max=self.field_grid_points_max,
            grid_instants=self.field_grid_instants,
        )

    @classmethod
    def load(cls, config: Path | None = None, **given: object) -> Self:
        """Read the environment and the file ``config`` (or the one that DHPE_CONFIG names); ``given`` wins over both.

        Raises SettingsError, one line for each fault.
        """
        environment = {name.upper(): value for name, value in os.environ.items() if value}
        if config is None and CONFIG_VARIABLE in environment:
            config = Path(environment[CONFIG_VARIABLE])
        from_file = _read(config) if config is not None else {}
        given = {name: value for name, value in given.items() if value is not None}
        origins = dict.fromkeys(from_file, str(config))
        origins |= {name: f"environment {variable(name)}" for name in cls.model_fields if variable(name) in environment}
        origins |= dict.fromkeys(given, "command line")
        faults = [_unknown(name, cls, origin) for name, origin in origins.items() if name not in cls.model_fields]
        faults += [_unknown_variable(name, cls) for name in sorted(_strangers(environment, cls))]
        chosen = {name: value for name, value in from_file.items() if variable(name) not in environment} | given
        try:
            settings = cls(**{name: value for name, value in chosen.items() if name in cls.model_fields})
        except ValidationError as error:
            faults += _faults(error, cls, origins)
        if faults:
            raise SettingsError("\n".join(faults))
        settings._origins.update(origins)
        return settings

    def facts(self) -> list[SettingFact]:
        """Every setting with its masked value and where the value came from."""
        return [
            SettingFact(name, variable(name), _shown(getattr(self, name)), self._origin(name), field.description or "")
            for name, field in type(self).model_fields.items()
        ]

    def _origin(self, name: str) -> str:
        return self._origins.get(name, "code" if name in self.model_fields_set else "default")


def variable(name: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + name.upper()


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        msg = f"{config}: {reason}; name a readable TOML file with --config or {CONFIG_VARIABLE}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{config}: is not TOML: {error}; write lines such as http_port = 8080"
    raise SettingsError(msg)


def _strangers(environment: Mapping[str, str], settings: type[Settings]) -> set[str]:
    known = {variable(name) for name in settings.model_fields}
    return {
        name
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in known and not name.startswith(_NOT_SETTINGS)
        if not _SERVICE_LINK.search(name) and not _SERVICE_ADDRESS.match(value)
    }


def _nearest(name: str, settings: type[Settings]) -> str | None:
    near = difflib.get_close_matches(name.lower(), settings.model_fields, n=1)
    return near[0] if near else None


def _unknown(name: str, settings: type[Settings], origin: str) -> str:
    near = _nearest(name, settings)
    remedy = f"did you mean {near}?" if near else "`dhpe doctor` lists all settings"
    return f"{name} ({origin}): there is no such setting; {remedy}"


def _unknown_variable(name: str, settings: type[Settings]) -> str:
    near = _nearest(name.removeprefix(PREFIX), settings)
    remedy = f"did you mean {variable(near)}?" if near else "unset it; `dhpe doctor` lists all settings"
    return f"{name} (environment): there is no such setting; {remedy}"


def _faults(error: ValidationError, settings: type[Settings], origins: Mapping[str, str]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        if not fault["loc"]:  # the validator over pairs of settings speaks whole sentences
            lines.append(fault["msg"].removeprefix("Value error, "))
            continue
        name = str(fault["loc"][0])
        origin = origins.get(name, "command line").removesuffix(f" {variable(name)}")
        field = settings.model_fields[name]
        value = "the secret" if "SecretStr" in str(field.annotation) else repr(fault["input"])
        problem = fault["msg"][0].lower() + fault["msg"][1:]
        remedy = "unset it" if field.default is None else f"the default is {_shown(field.default)!r}"
        lines.append(f"{variable(name)} ({origin}): {value}: {problem}; {remedy}")
    return list(dict.fromkeys(lines))
