"""A real broker that lets nobody in without TLS or a password: certificates made here, one listener for each case."""

import datetime as dt
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

USER = "dhpe"
PASSWORD = "the-password-of-the-broker"  # noqa: S105 - of a broker that lives for one test
OTHER_PASSWORD = "the-password-of-sha-256"  # noqa: S105 - as above
GUEST = "guest"
KEY_PASSWORD = "the-password-of-the-key"  # noqa: S105 - as above
LISTENERS = {
    "INTERNAL": "PLAINTEXT",  # the broker's own
    "SCRAM": "SASL_SSL",
    "MUTUAL": "SSL",
    "ELSEWHERE": "SASL_SSL",
    "EXPIRED": "SASL_SSL",
    "OPEN": "SASL_PLAINTEXT",
}
START_TIMEOUT_S = 120.0


class SecuredBroker(NamedTuple):
    """Where it listens, by the names of LISTENERS, and the files that a client may be given."""

    addresses: dict[str, str]
    ca_file: Path
    foreign_ca_file: Path
    certificate_file: Path
    key_file: Path
    encrypted_key_file: Path


def identity(certificate: trustme.LeafCert, file: Path) -> Path:
    """Key (PKCS 8, which is all that Java reads) and chain in one file."""
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    file.write_bytes(key_of(certificate) + chain)
    return file


def key_of(certificate: trustme.LeafCert, password: str | None = None) -> bytes:
    """The private key, encrypted where a password is given."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    how = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@contextmanager
def secured_broker(project: Path, folder: Path) -> Iterator[SecuredBroker]:
    """Start it, and kill it at the end."""
    authority, foreign = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    foreign.cert_pem.write_to_path(folder / "foreign.pem")
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    here = identity(authority.issue_cert("127.0.0.1"), folder / "here.pem")
    elsewhere = identity(authority.issue_cert("broker.example"), folder / "elsewhere.pem")
    expired = identity(authority.issue_cert("127.0.0.1", not_before=past, not_after=past), folder / "expired.pem")
    ours = authority.issue_cert("client.example", common_name=USER)
    (folder / "client.pem").write_bytes(b"".join(pem.bytes() for pem in ours.cert_chain_pems))
    (folder / "client.key").write_bytes(key_of(ours))
    (folder / "client-encrypted.key").write_bytes(key_of(ours, KEY_PASSWORD))
    ports = dict(zip((*LISTENERS, "CONTROLLER"), _free_ports(len(LISTENERS) + 1), strict=True))
    properties = folder / "secured.properties"
    properties.write_text(
        _properties(ports, folder / "ca.pem", {"ELSEWHERE": elsewhere, "EXPIRED": expired}, here), encoding="utf-8"
    )
    scram = (
        f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]",
        f"SCRAM-SHA-256=[name={USER},password={OTHER_PASSWORD}]",
        f"SCRAM-SHA-512=[name={GUEST},password={PASSWORD}]",
    )
    environment = os.environ | {
        "DHPE_BROKER_CONTROLLER_PORT": str(ports["CONTROLLER"]),
        "DHPE_BROKER_HEAP": "512m",
        "DHPE_BROKER_PROPERTIES": str(properties),
        "DHPE_BROKER_SCRAM": "\n".join(scram),
    }
    command = [project / "deploy" / "broker" / "broker.sh", str(ports["INTERNAL"]), folder / "data"]
    with (folder / "broker.log").open("wb") as output:
        broker = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _await_ports(broker, folder, ports.values())
            addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
            yield SecuredBroker(
                addresses,
                folder / "ca.pem",
                folder / "foreign.pem",
                folder / "client.pem",
                folder / "client.key",
                folder / "client-encrypted.key",
            )
        finally:
            if broker.poll() is None:
                os.killpg(broker.pid, signal.SIGKILL)
            broker.wait()


def _properties(ports: dict[str, int], ca: Path, certificates: dict[str, Path], default: Path) -> str:
    listeners = [f"{name}://127.0.0.1:{ports[name]}" for name in LISTENERS]
    protocols = [f"{name}:{protocol}" for name, protocol in LISTENERS.items()]
    lines = {
        "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{ports['CONTROLLER']}"]),
        "advertised.listeners": ",".join(listeners),
        "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
        "inter.broker.listener.name": "INTERNAL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # who comes by the internal listener has no name; the certificate's name is its subject
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN={USER}",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]*).*$/CN=$1/,DEFAULT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(default),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.mutual.ssl.client.auth": "required",
    }
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    for name, protocol in LISTENERS.items():
        prefix = f"listener.name.{name.lower()}"
        if protocol.startswith("SASL"):
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                lines[f"{prefix}.{mechanism}.sasl.jaas.config"] = scram
        if name in certificates:
            lines[f"{prefix}.ssl.keystore.location"] = str(certificates[name])
            lines[f"{prefix}.ssl.keystore.type"] = "PEM"
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _await_ports(broker: "subprocess.Popen[bytes]", folder: Path, ports: Iterable[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    for port in ports:
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if broker.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the broker did not start: {(folder / 'broker.log').read_text()[-3000:]}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
