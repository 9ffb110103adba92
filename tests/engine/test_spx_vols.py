"""Every quote of the real SPX chains has a vol or a named reason, in the engine as it runs."""

from pathlib import Path

import numpy as np
import pytest

from dhpe.columns import Batch, empty_batch
from dhpe.edge.formats import cboe
from dhpe.engine import Engine
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.state import VOL_OWN_QUOTE
from dhpe.parameters import Parameters
from dhpe.surface import VolCounts, describe, vol_counts
from dhpe.underlying import Underlying

COUNTS = {"2026-08-18": (14_428, 1_008), "2026-08-19": (14_380, 902), "2026-08-20": (14_148, 1_464)}
"""Strikes with a vol of their own quotes, each for two contracts; contracts of strikes where nobody bids."""


def evening(folder: Path, date: str, quote_spread_max: float = 2.0) -> Underlying:
    """A close in the engine, its surface fitted to all quotes."""
    engine = Engine(Parameters(quote_spread_max=quote_spread_max))
    for batch in cboe.read([folder / "spx_chain" / f"{date}.csv.gz"]):
        assert isinstance(batch, Batch) or batch.reason == "expired_contract"
        if isinstance(batch, Batch):
            engine.step(empty_batch(), batch)
    underlying = engine.underlyings["SPX"]
    underlying.refit(int(underlying.market["ts_ns"]))
    return underlying


@pytest.mark.parametrize("date", COUNTS)
def test_every_quote_has_a_vol_or_a_reason(shared_data: Path, date: str) -> None:
    """Out of the money with a bid: its own vol, without exception. Else the pair's, else the surface's and why."""
    underlying = evening(shared_data, date)
    market, state = underlying.market, underlying.book.state
    contracts = state.contracts[: len(underlying.book)]
    strikes, bidless = COUNTS[date]
    assert vol_counts(contracts, len(contracts)) == VolCounts(
        {"own_quote": strikes, "pair_quote": strikes, "surface": bidless}, {"solved": 2 * strikes, "zero_bid": bidless}
    )
    ratios = np.array([forward_ratio(expiry, int(market["ts_ns"])) for expiry in state.expiries[: market["expiries"]]])
    forwards = float(market["spot"]) * ratios[contracts["expiry"]]
    wing = contracts["right"] == np.where(contracts["strike"] < forwards, -1, 1)
    quoted = contracts["quote"]["bid"] > 0
    assert (wing & quoted).sum() > 13_500
    assert (contracts["vol_source"][wing & quoted] == VOL_OWN_QUOTE).all()
    assert (contracts["vol"] > 0).all()
    assert np.isfinite(contracts["vol"]).all()


def test_quotes_that_are_mostly_spread_do_not_bend_the_surface(shared_data: Path) -> None:
    """Seven quotes with a bid of a few cents under an ask of 60 to 300: the fit is the one without them."""
    with_them, without = evening(shared_data, "2026-08-18"), evening(shared_data, "2026-08-18", 1.9)
    sources = [one.book.state.contracts["vol_source"][: len(one.book)] for one in (with_them, without)]
    assert (sources[0] != sources[1]).sum() == 14, "both rights of seven strikes have their vol from elsewhere"
    fits = [
        describe(
            one.book.state.contracts,
            len(one.book),
            one.book.state.expiries,
            int(one.market["expiries"]),
            float(one.market["spot"]),
            int(one.market["ts_ns"]),
        )
        for one in (with_them, without)
    ]
    for fitted, expected in zip(*fits, strict=True):
        assert fitted.atm_vol == pytest.approx(expected.atm_vol, abs=2e-4)
        assert fitted.skew_slope == pytest.approx(expected.skew_slope, abs=2e-3)
        assert fitted.violations == 0
