"""What the root of a US index option tells of its series: the index, and whether it settles in the morning.

The same date can hold both: on a third Friday SPX settles at the open and SPXW at the close. Roots that are not listed
are those of shares and funds: settled at the close.
"""

from typing import Final, Literal, NamedTuple


class Root(NamedTuple):
    """The index of an option root and the settlement of its series."""

    underlying: str
    settlement: Literal["am", "pm"]


ROOTS: Final = {
    "SPX": Root("SPX", "am"),
    "SPXW": Root("SPX", "pm"),
    "XSP": Root("XSP", "pm"),
    "NDX": Root("NDX", "am"),
    "NDXP": Root("NDX", "pm"),
    "RUT": Root("RUT", "am"),
    "RUTW": Root("RUT", "pm"),
    "DJX": Root("DJX", "am"),
    "VIX": Root("VIX", "am"),
    "VIXW": Root("VIX", "am"),
    "OEX": Root("OEX", "pm"),
    "XEO": Root("XEO", "pm"),
}

AMERICAN_ROOTS: Final = frozenset(("OEX",))
"""Index options are European but for these."""


def settlement_of(root: str) -> Literal["am", "pm"]:
    """How the series of ``root`` settle."""
    return ROOTS[root].settlement if root in ROOTS else "pm"


def osi_symbol(root: str, expiration: str, right: int, strike_thousandths: int) -> str:
    """The 21 characters of the Options Symbology Initiative; ``expiration`` is YYYY-MM-DD."""
    return f"{root:<6}{expiration[2:].replace('-', '')}{'C' if right > 0 else 'P'}{strike_thousandths:08d}"
