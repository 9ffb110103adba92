"""What every client of Kafka shares: how it reaches the cluster, and how a broker that does not answer is told."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record import default_records

from dhpe.edge.kafka_refusals import FORBIDDEN, refusal
from dhpe.edge.log import LogError, LogUnavailable
from dhpe.settings import Settings, variable

APPLICATION: Final = "dhpe"
DEAD_LETTER_ROOM: Final = 64 * 1024
"""A dead letter carries its input whole, and headers: its topic and producer take this much more."""
CONNECT_PAUSE_S: Final = 0.5
STOP_TIMEOUT_S: Final = 3.0


def require_compiled_records() -> None:
    """Raise LogError unless aiokafka's compiled extension is loaded: without it all is 14 to 66 times slower."""
    if not default_records.DefaultRecordBatch.__module__.endswith("_crecords.default_records"):
        raise LogError(
            "aiokafka runs without its compiled extension (14 to 66 times slower): "
            "install a binary wheel of it and unset AIOKAFKA_NO_EXTENSIONS"
        )


def unavailable(settings: Settings, error: BaseException) -> LogError:
    """One line on a broker that does not answer, which may pass, or does not allow, which will not."""
    where = f"Kafka at {settings.kafka_bootstrap_servers} ({variable('kafka_bootstrap_servers')})"
    if isinstance(error, FORBIDDEN):
        who = settings.kafka_sasl_username or "this client"
        return LogError(f"{where} does not allow it to {who!r}: {error}; docs/security.md lists the rights it needs")
    return LogUnavailable(f"{where}: {str(error) or type(error).__name__}")


async def connect(client: Any, settings: Settings, close: Callable[[], Awaitable[None]]) -> None:
    """Start ``client``, trying again until ``kafka_connect_timeout_s``; one that cannot connect is closed.

    Raises:
        LogUnavailable: no broker answers in time.
        LogError: a broker answers and will not let us in; that is not tried again.
    """
    limit_s = settings.kafka_connect_timeout_s
    deadline = time.monotonic() + limit_s
    while True:
        try:
            async with asyncio.timeout(max(CONNECT_PAUSE_S, deadline - time.monotonic())):
                await client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            refused = await refusal(settings, connection(settings))
            if refused is not None and refused.final:
                await close()
                raise LogError(refused.sentence) from error
            if time.monotonic() + CONNECT_PAUSE_S >= deadline:
                await close()
                if refused is not None:
                    raise LogUnavailable(refused.sentence) from error
                raise LogUnavailable(
                    f"no Kafka broker answers at {settings.kafka_bootstrap_servers} within {limit_s:g} s: "
                    f"start it (`make broker`), or correct {variable('kafka_bootstrap_servers')}"
                ) from error
            await asyncio.sleep(CONNECT_PAUSE_S)
        except BaseException:
            await close()
            raise
        else:
            return


async def stop_client(client: Any) -> None:
    """Stop a consumer or a producer within ``STOP_TIMEOUT_S``, whatever it has to say.

    It stops in a task of its own: with a request waiting to be tried again, the consumer ends its own stop with a
    CancelledError, which would end the caller as well. And whoever gives up on the way leaves the sockets open.
    """
    stopping = asyncio.create_task(client.stop())
    _, late = await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    if late:
        stopping.cancel()
        await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    if stopping.done() and not stopping.cancelled():
        stopping.exception()  # the broker is gone, or answers no more; unread, asyncio would report it
    await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()  # noqa: SLF001


def connection(settings: Settings) -> dict[str, Any]:
    """How every client reaches the cluster."""
    if settings.kafka_bootstrap_servers is None:
        raise LogError(f"no Kafka is named: set {variable('kafka_bootstrap_servers')} to host:port")
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": APPLICATION,
        "request_timeout_ms": milliseconds(settings.kafka_request_timeout_s),
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _tls(settings)
    if settings.kafka_sasl_password is not None:
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_sasl_username
        arguments["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return arguments


def _tls(settings: Settings) -> ssl.SSLContext:
    authority, certificate = settings.kafka_ssl_ca_file, settings.kafka_ssl_certificate_file
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise LogError(
            f"{authority}: {error.strerror or 'holds no certificate'}; correct {variable('kafka_ssl_ca_file')}"
        ) from error
    if certificate is not None:
        password = settings.kafka_ssl_key_password
        try:
            # an empty password, or OpenSSL would ask for one on the terminal and wait
            context.load_cert_chain(
                certificate, settings.kafka_ssl_key_file, "" if password is None else password.get_secret_value()
            )
        except OSError as error:
            raise LogError(
                f"{certificate} and {settings.kafka_ssl_key_file}: {error.strerror or error}; correct "
                f"{variable('kafka_ssl_certificate_file')}, {variable('kafka_ssl_key_file')} or "
                f"{variable('kafka_ssl_key_password')}"
            ) from error
    return context


def make_producer(settings: Settings, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer, transactional where it has an id; not started."""
    transactional = {}
    if transactional_id is not None:
        transactional = {
            "transactional_id": transactional_id,
            "transaction_timeout_ms": milliseconds(settings.kafka_transaction_timeout_s),
        }
    compression = settings.kafka_compression
    request_bytes = settings.message_bytes_max + DEAD_LETTER_ROOM
    return AIOKafkaProducer(
        **connection(settings),
        **transactional,
        acks="all",
        enable_idempotence=True,
        compression_type=None if compression == "none" else compression,
        linger_ms=0 if transactional else settings.kafka_linger_ms,
        max_batch_size=min(settings.kafka_batch_bytes_max, settings.message_bytes_max),
        max_request_size=request_bytes,
    )


def milliseconds(seconds: float) -> int:
    """Settings are in seconds, the library's arguments in milliseconds."""
    return round(seconds * 1000)
