"""The simulated option chain: contracts, an index-like open interest, a vol surface without arbitrage, true fields.

Customers are long out-of-the-money puts and short out-of-the-money calls, so dealers are short the puts and long the
calls (MODEL.md section 3). The surface is SSVI with a power law (Gatheral and Jacquier 2014), so that a fit can find
it exactly. Each expiry's at-the-money vol is a state; strikes stick as MODEL.md section 4 says.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import Contract

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NS_PER_S: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S
NS_PER_YEAR: Final = 365 * NS_PER_DAY
MULTIPLIER: Final = 100.0

SKEW_STICKINESS: Final = 1.5
SSVI_RHO: Final = -0.6
SSVI_ETA: Final = 1.2  # with rho: eta (1 + |rho|) <= 2, no butterfly arbitrage at any total variance
SSVI_GAMMA: Final = 0.4
VIX_TAU: Final = 30 / 365
VIX_PREMIUM: Final = 1.12
TAU_FLOOR: Final = 300.0 / (365 * 86_400)  # of the fields, as the engine's


class Listing(NamedTuple):
    """The strikes of one expiry, as shares of the spot, and the weight of its open interest."""

    days: int
    lowest: float
    highest: float
    step_points: float
    weight: float


LISTINGS: Final = (
    Listing(0, 0.93, 1.03, 10.0, 0.7),
    Listing(1, 0.93, 1.03, 10.0, 0.6),
    Listing(2, 0.93, 1.03, 10.0, 0.5),
    Listing(7, 0.91, 1.04, 20.0, 0.8),
    Listing(14, 0.91, 1.04, 20.0, 0.8),
    Listing(30, 0.86, 1.05, 25.0, 2.0),
    Listing(61, 0.80, 1.08, 50.0, 1.0),
    Listing(91, 0.80, 1.08, 50.0, 1.0),
)


class Chain(NamedTuple):
    """Arrays over contracts (n,), sorted by expiry, strike, right; ``expiry`` indexes ``settles_ns`` (m,)."""

    contracts: tuple[Contract, ...]
    strike: Floats
    right: Floats  # +1 call, -1 put
    expiry: Integers
    settles_ns: Integers
    open_interest: Floats
    dealer_position: Floats  # the true one, at the start
    rate: float
    dividend_yield: float


class Greeks(NamedTuple):
    """The true fields of the dealers' book. ``beta_vanna_field`` has each expiry's own beta inside."""

    gamma_field: float
    vanna_field: float
    charm_field: float
    beta_vanna_field: float

    @property
    def hedge_pressure(self) -> float:
        """Psi = -(gamma field + beta vanna field), USD of flow per unit log return."""
        return -(self.gamma_field + self.beta_vanna_field)


def calm_vols(tau: Floats) -> Floats:
    """At-the-money vols of a calm day, rising with the term: 10.5 % at zero, 14.5 % far out."""
    return 0.145 - 0.04 * np.exp(-tau / 0.12)


def smile_vols(log_moneyness: Floats, tau: Floats, atm_vol: Floats) -> Floats:
    """SSVI implied vol at ln(K/F), elementwise."""
    theta = atm_vol * atm_vol * tau
    curvature = SSVI_ETA * theta**-SSVI_GAMMA * (1.0 + theta) ** (SSVI_GAMMA - 1.0)
    x = curvature * log_moneyness
    root = np.sqrt((x + SSVI_RHO) ** 2 + 1.0 - SSVI_RHO**2)
    variance: Floats = 0.5 * theta * (1.0 + SSVI_RHO * x + root)
    return np.sqrt(variance / tau)


def skew(tau: Floats, atm_vol: Floats) -> Floats:
    """Slope of the smile at the forward: d vol / d ln(K/F) at 0, negative."""
    theta = atm_vol * atm_vol * tau
    curvature = SSVI_ETA * theta**-SSVI_GAMMA * (1.0 + theta) ** (SSVI_GAMMA - 1.0)
    slope: Floats = 0.5 * atm_vol * SSVI_RHO * curvature
    return slope


def vix(tau: Floats, atm_vols: Floats) -> float:
    """The 30-day vol index in vol points without panic: above the vol at the money, as a variance strip is."""
    return float(100.0 * VIX_PREMIUM * np.interp(VIX_TAU, tau, atm_vols))


def log_moneyness(chain: Chain, spot: float, tau: Floats) -> Floats:
    """ln(K/F) of every contract; ``tau`` by contract."""
    distance: Floats = np.log(chain.strike / spot) - (chain.rate - chain.dividend_yield) * tau
    return distance


def contract_vols(chain: Chain, spot: float, now_ns: int, atm_vols: Floats) -> Floats:
    """Implied vol of every contract (n,); the settled ones carry a harmless number."""
    tau = np.maximum(chain.settles_ns - now_ns, NS_PER_S) / NS_PER_YEAR
    by_contract = tau[chain.expiry]
    return smile_vols(log_moneyness(chain, spot, by_contract), by_contract, atm_vols[chain.expiry])


def true_fields(chain: Chain, position: Floats, spot: float, now_ns: int, atm_vols: Floats, response: float) -> Greeks:
    """Sum the greeks of MODEL.md section 2 over the dealers' book.

    ``response`` is the multiple of the skew stickiness with which at-the-money vols answer the price now: the change
    of vol at a fixed strike per unit log return is (response R - 1) times the skew.
    """
    remaining = chain.settles_ns - now_ns
    tau_expiry = np.maximum(remaining / NS_PER_YEAR, TAU_FLOOR)
    tau = tau_expiry[chain.expiry]
    carry = chain.rate - chain.dividend_yield
    distance = log_moneyness(chain, spot, tau)
    vol = smile_vols(distance, tau, atm_vols[chain.expiry])
    deviation = vol * np.sqrt(tau)
    d1 = -distance / deviation + 0.5 * deviation
    d2 = d1 - deviation
    density = np.exp(-0.5 * d1 * d1 - chain.dividend_yield * tau) / math.sqrt(2.0 * math.pi)
    held = position * (remaining > 0)[chain.expiry] * (spot * MULTIPLIER)
    vanna = held * (-density * d2 / vol)
    beta = (response * SKEW_STICKINESS - 1.0) * skew(tau_expiry, atm_vols)
    charm = -density * (2.0 * carry * tau - d2 * deviation) / (2.0 * tau * deviation)
    # The term of the dividend, with N(d1) or N(-d1), is below 1 % of the rest for an index and left out here.
    return Greeks(
        gamma_field=float((held * density / deviation).sum()),
        vanna_field=float(vanna.sum()),
        charm_field=float((held * charm).sum()),
        beta_vanna_field=float((vanna * beta[chain.expiry]).sum()),
    )


def _symbol(underlying: str, settles_ns: int, right: int, strike: float) -> str:
    """Name a series as the OSI does: root, yymmdd, C or P, strike in thousandths; 21 characters.

    The root carries the hour of settlement, or a second run on the same day would define the same names anew.
    """
    instant = str(np.datetime_as_string(np.datetime64(settles_ns, "ns"), unit="h"))
    day, hour = instant[2:10].replace("-", ""), instant[11:13]
    return f"{underlying[:4] + hour:<6}{day}{'C' if right > 0 else 'P'}{round(strike * 1000):08d}"


def _open_interest(distance: Floats, right: Floats, tau: Floats, generator: np.random.Generator) -> Floats:
    """Bell of puts below and of calls above the spot, wider with the term, heavier at round strikes later."""
    width = 0.14 * np.sqrt(tau)
    below = (distance + np.maximum(0.034, 0.8 * width)) / (0.014 + 0.5 * width)
    above = (distance - np.maximum(0.004, 0.4 * width)) / (0.009 + 0.4 * width)
    bell = np.where(right > 0, np.exp(-0.5 * above**2), 0.92 * np.exp(-0.5 * below**2)) + 0.01
    interest: Floats = bell * np.exp(0.25 * generator.standard_normal(len(distance)))
    return interest


def list_chain(
    underlying: str, spot: float, same_day_ns: int, start_ns: int, rates: tuple[float, float], rng: np.random.Generator
) -> Chain:
    """List the contracts around ``spot``; the open interest has unit scale until ``scaled``."""
    strikes, rights, expiries, weights = [], [], [], []
    settles = np.array([same_day_ns + listing.days * NS_PER_DAY for listing in LISTINGS], np.int64)
    for expiry, listing in enumerate(LISTINGS):
        step = listing.step_points * spot / 5000.0
        lowest, highest = math.ceil(listing.lowest * spot / step), math.floor(listing.highest * spot / step)
        for number in range(lowest, highest + 1):
            for right in (1, -1):
                strikes.append(round(number * step, 3))
                rights.append(right)
                expiries.append(expiry)
                weights.append(listing.weight * step / spot * (2.5 if number % 5 == 0 else 1.0))
    strike, right_of, expiry_of = np.array(strikes), np.array(rights, np.float64), np.array(expiries, np.int64)
    tau = ((settles - start_ns) / NS_PER_YEAR)[expiry_of]
    interest = np.array(weights) * _open_interest(np.log(strike / spot), right_of, tau, rng)
    contracts = tuple(
        Contract(
            _symbol(underlying, int(settles[e]), r, k), r, k, MULTIPLIER, american=False, settles_ns=int(settles[e])
        )
        for e, r, k in zip(expiries, rights, strikes, strict=True)
    )
    # Dealers are on the other side of most of it, not of all: the naive book is nearly right, as in life.
    share = rng.uniform(0.75, 1.0, len(strike))
    return Chain(contracts, strike, right_of, expiry_of, settles, interest, right_of * share * interest, *rates)


def scaled(chain: Chain, scale: float) -> Chain:
    """Turn the unit open interest into whole contracts, the dealers' part of it with its sign."""
    share = chain.dealer_position / chain.open_interest
    interest = np.ceil(chain.open_interest * abs(scale))
    return chain._replace(open_interest=interest, dealer_position=np.round(share * interest * np.sign(scale)))
