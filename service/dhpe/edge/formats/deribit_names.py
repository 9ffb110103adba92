"""What the names of Deribit's instruments say: the option series, its settlement and its underlying."""

from datetime import UTC, datetime
from typing import Final

from dhpe.columns import Contract

SOURCE: Final = "deribit"

_RIGHTS: Final = {"C": 1, "P": -1}
_NS_PER_S: Final = 1_000_000_000
_SETTLES_HOUR: Final = 8


def option(symbol: str) -> Contract:
    """The series of a name such as BTC-7JAN22-40000-P: it settles at 08:00 UTC; one coin a contract.

    Raises:
        KeyError, ValueError: the name is not that of an option.
    """
    _, day, strike, right = symbol.split("-")
    settles = datetime.strptime(day, "%d%b%y").replace(hour=_SETTLES_HOUR, tzinfo=UTC)
    return Contract(
        symbol,
        _RIGHTS[right],
        float(strike.replace("d", ".")),  # XRP_USDC-27DEC24-0d5-C
        1.0,
        american=False,
        settles_ns=int(settles.timestamp()) * _NS_PER_S,
    )


def underlying_of(index_name: str) -> str:
    """The underlying of an index: BTC of btc_usd, BTC_USDC of btc_usdc."""
    return index_name.upper().removesuffix("_USD")
