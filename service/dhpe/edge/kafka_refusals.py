"""Why a broker does not let us in: the library only logs it and says "unable to bootstrap".

One connection is made by hand as every client would make it, and its error is told in a line: what, where, and how to
mend it. A wrong password or a certificate that is not trusted will not mend itself, so nobody tries again; a broker
that hangs up without a word may only be starting, so that is told when the time to connect is over.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from dhpe.settings import Settings, variable

FORBIDDEN: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""The broker knows who we are, and its rules do not allow what was asked."""
PROBE_S: Final = 5.0
_TLS_ALERT: Final = b"\x15\x03"
"""The first bytes of what a TLS listener answers to plain text; the client takes them for a length."""

_PROTOCOL: Final = variable("kafka_security_protocol")


class Refusal(NamedTuple):
    """One line, and whether trying again is in vain."""

    sentence: str
    final: bool


async def refusal(settings: Settings, connection: Mapping[str, Any]) -> Refusal | None:
    """Ask each named broker for its metadata, with the arguments of every client, until one says why it refuses us."""
    arguments = {name: value for name, value in connection.items() if name != "bootstrap_servers"}
    for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers, randomize=False):
        try:
            async with asyncio.timeout(min(PROBE_S, settings.kafka_connect_timeout_s)):
                opened = await create_conn(host, port, **arguments)
                try:
                    await opened.send(MetadataRequest([]))
                finally:
                    opened.close()
        except (KafkaError, OSError, TimeoutError) as error:
            found = _told(settings, f"Kafka at {host}:{port}", error)
            if found is not None:
                return found
    return None


def _told(settings: Settings, where: str, error: BaseException) -> Refusal | None:
    for one in _chain(error):
        final = _final(settings, one)
        if final is not None:
            return Refusal(f"{where} {final}", final=True)
    tls = settings.kafka_security_protocol.endswith("SSL")
    if tls and isinstance(error, ssl.SSLError | ConnectionResetError):
        return Refusal(f"{where} hangs up when TLS begins: it may speak plain text; correct {_PROTOCOL}", final=False)
    if any(isinstance(one, asyncio.IncompleteReadError) for one in _chain(error)):
        sasl = settings.kafka_security_protocol.startswith("SASL")
        hint = "it may be starting" if sasl else f"it may ask for SASL; correct {_PROTOCOL}"
        return Refusal(f"{where} hangs up on our first request: {hint}", final=False)
    return None


def _final(settings: Settings, error: BaseException) -> str | None:
    user, password = settings.kafka_sasl_username, variable("kafka_sasl_password")
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"refuses the password of user {user!r} with {settings.kafka_sasl_mechanism}; "
            f"correct {variable('kafka_sasl_username')}, {password} or {variable('kafka_sasl_mechanism')}"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not offer {settings.kafka_sasl_mechanism}; correct {variable('kafka_sasl_mechanism')}"
    if isinstance(error, IllegalSaslStateError):
        return f"asks for no SASL; set {_PROTOCOL}=PLAINTEXT, or name its SASL port"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not accepted: {error.verify_message.rstrip('.')}; name the broker as its "
            f"certificate does in {variable('kafka_bootstrap_servers')}, its authority in "
            f"{variable('kafka_ssl_ca_file')}, or renew the certificate"
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error):
        return (
            f"does not accept our certificate ({error.reason}); correct {variable('kafka_ssl_certificate_file')} "
            f"and {variable('kafka_ssl_key_file')}"
        )
    if isinstance(error, asyncio.IncompleteReadError) and (error.expected or 0).to_bytes(4, "big")[:2] == _TLS_ALERT:
        return f"speaks TLS and we do not; set {_PROTOCOL} to SSL or SASL_SSL"
    return None


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
