"""The part of an underlying's state that the field is computed from, copied."""

import math
from typing import NamedTuple

import numpy as np

from dhpe.landscape import Rows
from dhpe.liquidity import KyleLambda
from dhpe.numerics.underlying_ticks import TapeState
from dhpe.outputs import Offsets
from dhpe.parameters import Parameters
from dhpe.potential import Tape
from dhpe.underlying import Underlying


class FieldCopy(NamedTuple):
    """One underlying at one instant. ``lost``: records that were to be applied were not there."""

    underlying: str
    parameters: Parameters
    market: np.void
    rows: Rows
    tape: Tape
    kyle_lambda: KyleLambda
    amihud_illiquidity: float | None
    offsets: Offsets
    engine_version: str
    lost: bool


_UNREAD_IMPACT = (KyleLambda(None, None, 0, None), None)


def copy_of(underlying: Underlying, offsets: Offsets, engine_version: str, *, lost: bool = False) -> FieldCopy:
    """Copy what the field needs; the underlying is not changed, nor brought up to date."""
    state = underlying.book.state
    market = state.market.copy()[0]
    rows = Rows(state.contracts[: int(market["contracts"])].copy(), state.expiries[: int(market["expiries"])].copy())
    kyle_lambda, amihud = underlying.known_impact or _UNREAD_IMPACT
    tape = _tape(underlying.tape, market)
    return FieldCopy(
        underlying.name, underlying.parameters, market, rows, tape, kyle_lambda, amihud, offsets, engine_version, lost
    )


def _tape(tape: TapeState, market: np.void) -> Tape:
    return Tape(
        tape.returns.copy(),
        tape.volumes.copy(),
        int(market["liquidity_head"]),
        int(market["liquidity_count"]),
        math.log(market["liquidity_mid"]) if market["liquidity_mid"] > 0.0 else math.nan,
    )
