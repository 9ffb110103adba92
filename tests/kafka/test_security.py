"""A broker that demands TLS and a password: the whole line works, and a refusal is one line that tells its remedy."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import LogError
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import check_topics, create_topics, topics_for
from dhpe.settings import Settings
from secured_broker import GUEST, KEY_PASSWORD, OTHER_PASSWORD, PASSWORD, USER, SecuredBroker, secured_broker
from worker_room import drained, market, messages, put, working, written

pytestmark = pytest.mark.kafka

WRONG = "a-wrong-password"
SECRETS = (PASSWORD, OTHER_PASSWORD, KEY_PASSWORD, WRONG)
AT_ONCE_S = 15.0
"""An endless retry would take the 60 s of the connect timeout below."""


@pytest.fixture(scope="module")
def broker(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """One broker for this file."""
    with secured_broker(project, tmp_path_factory.mktemp("secured")) as running:
        yield running


def access(broker: SecuredBroker, listener: str = "SCRAM", **given: object) -> dict[str, object]:
    """Settings that get in by ``listener``, as far as ``given`` does not spoil them; None leaves one out."""
    secured: dict[str, object] = {
        "kafka_bootstrap_servers": broker.addresses[listener],
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_username": USER,
        "kafka_sasl_password": PASSWORD,
        "kafka_ssl_ca_file": broker.ca_file,
        "topic_partitions": 2,
        "kafka_connect_timeout_s": 60.0,
    }
    return {name: value for name, value in (secured | given).items() if value is not None}


def run(chosen: dict[str, object], *command: str) -> "subprocess.CompletedProcess[str]":
    """A command with these settings in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DHPE_")}
    return subprocess.run(
        [sys.executable, "-m", "dhpe", *command],
        env=clean | {f"DHPE_{name.upper()}": str(value) for name, value in chosen.items()},
        text=True,
        capture_output=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize(
    ("listener", "given"),
    [
        ("SCRAM", {"kafka_sasl_mechanism": "SCRAM-SHA-512"}),
        ("SCRAM", {"kafka_sasl_mechanism": "SCRAM-SHA-256", "kafka_sasl_password": OTHER_PASSWORD}),
        (
            "MUTUAL",
            {"kafka_security_protocol": "SSL", "kafka_sasl_username": None, "kafka_sasl_password": None},
        ),
    ],
    ids=["scram-sha-512", "scram-sha-256", "client certificate"],
)
async def test_the_whole_line_works_on_a_broker_that_demands_tls_and_a_name(
    broker: SecuredBroker, listener: str, given: dict[str, object]
) -> None:
    """Topics, feed, worker with its two transactional producers, and a reader of committed outputs."""
    prefix = f"{listener.lower()}.{len(str(given))}."
    chosen = access(broker, listener, topic_prefix=prefix, kafka_group=prefix.replace(".", ""), **given)
    if listener == "MUTUAL":
        chosen |= {"kafka_ssl_certificate_file": broker.certificate_file, "kafka_ssl_key_file": broker.key_file}
    settings = Settings(**chosen)  # type: ignore[arg-type]
    assert len(await create_topics(settings)) == len(topics_for(settings))
    assert await check_topics(settings) == []
    names = TopicNames.of(settings)
    log = KafkaLog(settings)
    await log.start()
    try:
        await put(log, messages(market(5)), names)
        async with working(log, settings) as workers:
            await drained(workers, log, names)
        assert {topic for topic, _ in await written(log, names)} >= {"pressure"}
    finally:
        await log.stop()


async def test_an_encrypted_key_opens_with_its_password_and_asks_nobody_without(broker: SecuredBroker) -> None:
    """OpenSSL by itself would wait for somebody to type it."""
    chosen = access(
        broker,
        "MUTUAL",
        kafka_security_protocol="SSL",
        kafka_sasl_username=None,
        kafka_sasl_password=None,
        kafka_ssl_certificate_file=broker.certificate_file,
        kafka_ssl_key_file=broker.encrypted_key_file,
    )
    with pytest.raises(LogError, match="DHPE_KAFKA_SSL_KEY_PASSWORD"):
        await check_topics(Settings(**chosen))  # type: ignore[arg-type]
    opened = Settings(**chosen, kafka_ssl_key_password=KEY_PASSWORD, topic_prefix="absent.")  # type: ignore[arg-type]
    assert "does not exist" in (await check_topics(opened))[0], "the topics were asked for"


REFUSALS = {
    "wrong password": ("SCRAM", {"kafka_sasl_password": WRONG}, ("refuses the password", "DHPE_KAFKA_SASL_PASSWORD")),
    "wrong user": ("SCRAM", {"kafka_sasl_username": "nobody"}, ("'nobody'", "DHPE_KAFKA_SASL_USERNAME")),
    "mechanism not offered": (
        "SCRAM",
        {"kafka_sasl_mechanism": "PLAIN"},
        ("does not offer PLAIN", "DHPE_KAFKA_SASL_MECHANISM"),
    ),
    "plain text": (
        "SCRAM",
        {"kafka_security_protocol": None, "kafka_sasl_username": None, "kafka_sasl_password": None},
        ("speaks TLS", "DHPE_KAFKA_SECURITY_PROTOCOL"),
    ),
    "password in plain text": (
        "SCRAM",
        {"kafka_security_protocol": "SASL_PLAINTEXT"},
        ("speaks TLS", "DHPE_KAFKA_SECURITY_PROTOCOL"),
    ),
    "authority of the system only": ("SCRAM", {"kafka_ssl_ca_file": None}, ("issuer", "DHPE_KAFKA_SSL_CA_FILE")),
    "certificate of another host": (
        "ELSEWHERE",
        {},
        ("not valid for '127.0.0.1'", "DHPE_KAFKA_BOOTSTRAP_SERVERS"),
    ),
    "expired certificate": ("EXPIRED", {}, ("expired", "renew the certificate")),
    "no client certificate": (
        "MUTUAL",
        {"kafka_security_protocol": "SSL", "kafka_sasl_username": None, "kafka_sasl_password": None},
        ("does not accept our certificate", "DHPE_KAFKA_SSL_CERTIFICATE_FILE"),
    ),
    "no such authority file": (
        "SCRAM",
        {"kafka_ssl_ca_file": "/absent.pem"},
        ("/absent.pem", "DHPE_KAFKA_SSL_CA_FILE"),
    ),
    "a password where none is asked": (
        "INTERNAL",
        {"kafka_security_protocol": "SASL_PLAINTEXT"},
        ("asks for no SASL", "DHPE_KAFKA_SECURITY_PROTOCOL"),
    ),
    # these look like a broker that is starting: told when the time to connect is over
    "no password": (
        "OPEN",
        {
            "kafka_security_protocol": None,
            "kafka_sasl_username": None,
            "kafka_sasl_password": None,
            "kafka_connect_timeout_s": 2.0,
        },
        ("hangs up", "DHPE_KAFKA_SECURITY_PROTOCOL"),
    ),
    "tls where there is none": (
        "INTERNAL",
        {"kafka_connect_timeout_s": 2.0},
        ("may speak plain text", "DHPE_KAFKA_SECURITY_PROTOCOL"),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_one_line_with_what_where_and_how_to_mend_it(broker: SecuredBroker, case: str) -> None:
    """At once, and with nothing secret in it."""
    listener, given, said = REFUSALS[case]
    started_s = time.monotonic()
    with pytest.raises(LogError) as caught:
        await check_topics(Settings(**access(broker, listener, **given)))  # type: ignore[arg-type]
    assert time.monotonic() - started_s < AT_ONCE_S
    line = str(caught.value)
    assert "\n" not in line
    for part in said:
        assert part in line
    assert case == "no such authority file" or broker.addresses[listener] in line
    assert not [secret for secret in SECRETS if secret in line]


@pytest.mark.parametrize("command", ["run", "feed", "doctor"])
def test_every_command_ends_on_a_wrong_password(broker: SecuredBroker, tmp_path: Path, command: str) -> None:
    """The same line from all of them, at debug level too, and no traceback."""
    source = tmp_path / "day.jsonl"
    source.write_bytes(b'{"kind":"clock","underlying":"*","ts_event_ns":1750000000000000000}\n')
    chosen = access(broker, kafka_sasl_password=WRONG, http_port=0, log_level="debug")
    done = run(chosen, command, *([str(source)] if command == "feed" else []))
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "refuses the password of user 'dhpe'" in text
    assert command == "doctor" or done.stderr.splitlines()[-1].startswith("dhpe: Kafka at")
    assert "Traceback" not in text
    assert not [secret for secret in SECRETS if secret in text]


async def test_a_user_without_rights_is_told_what_he_may_not(broker: SecuredBroker) -> None:
    """He gets in, and every topic is refused."""
    chosen = access(broker, kafka_sasl_username=GUEST, topic_prefix="guest.")
    with pytest.raises(LogError, match="uthoriz"):
        await create_topics(Settings(**chosen))  # type: ignore[arg-type]
