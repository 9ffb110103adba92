"""One simulated underlying: prices move because customers press, dealers hedge, and the order book gives way.

Each step of 50 ms: return = pressure + lambda x (hedge flow), where the hedge flow answers the move of the step
before: Psi x (last return) - charm field x dt. Over anything longer than a step this is MODEL.md section 4,
(1 - kappa Psi) d ln S = pressure - lambda x charm field x dt. Every dollar of flow is printed as trades, so a Kyle
regression of returns on signed flow finds lambda; what the news moves, moves without a trade.
"""

import math
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from dhpe.columns import BUY, SELL, Contract, DealerPosition, Instrument, OpenInterest, Rates
from dhpe.simulate import chain as chains
from dhpe.simulate.chain import NS_PER_S, NS_PER_YEAR, Floats, Greeks
from dhpe.simulate.indices import SECTORS, Indices
from dhpe.simulate.option_market import OptionMarket, OptionState
from dhpe.simulate.order_book import CONTRACT_MULTIPLIER, OrderBook, calm_lambda
from dhpe.simulate.records import Recorder
from dhpe.simulate.scenario import GAIN_MAX, STEP_MS, STEP_S, Act, Phase, SimulationSettings, acts

STEP_NS: Final = STEP_MS * 1_000_000
_MS: Final = 1_000_000
_STEPS_PER_S: Final = 1000 // STEP_MS
_HOUR_NS: Final = 3600 * NS_PER_S
_VOL_MIN: Final = 0.03
_VOL_MAX: Final = 2.0
_BACKGROUND_CONTRACTS: Final = 6.0  # mean size of the two trades a step that cancel each other
_BUSY: Final = 3.0  # how much busier the options are when the customers press at the speed of a crash
_BUSY_SPEED: Final = 0.0025


class Truth(NamedTuple):
    """What is really so after a chunk: for scorecards, never on the wire."""

    underlying: str
    ts_event_ns: int
    phase: str
    spot: float
    vix: float
    kyle_lambda: float
    greeks: Greeks
    feedback_gain: float
    contracts: tuple[Contract, ...]
    contract_vols: Floats  # in the order of contracts
    dealer_position: Floats  # likewise


class _Conditions:
    """How liquid the market is now: follows the phase with a lag, as people do."""

    def __init__(self, phase: Phase) -> None:
        self.impact, self.bid_depth, self.ask_depth = phase.impact, phase.bid_depth, phase.ask_depth
        self.spread_ticks, self.option_spread = float(phase.spread_ticks), phase.option_spread
        self.put_buying = phase.put_buying

    def follow(self, phase: Phase) -> None:
        share = 1.0 - math.exp(-STEP_S / phase.liquidity_lag_s)
        for name in ("impact", "bid_depth", "ask_depth", "spread_ticks", "option_spread", "put_buying"):
            now = getattr(self, name)
            setattr(self, name, now + share * (getattr(phase, name) - now))


class Market:
    """The market of one underlying; ``step`` advances it by 50 ms of event time."""

    def __init__(self, name: str, settings: SimulationSettings, start_ns: int, seed: np.random.SeedSequence) -> None:
        """List the chain so that the feedback gain at the start is the one of the settings."""
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._name, self._settings = name, settings
        self._acts = acts(settings.phases, self._rng)
        self._act: Act = next(self._acts)
        self._act_started_ns, self._act_started_log = start_ns, 0.0
        self._conditions = _Conditions(self._act.phase)
        self._log_price, self._last_return, self._unprinted = 0.0, 0.0, 0.0
        self._now_ns, self._steps, self._speed, self._panic = start_ns, 0, 0.0, 0.0
        self._book = OrderBook(settings.spot, self._rng)
        same_day = -(-(start_ns + round(settings.same_day_settles_s * NS_PER_S)) // _HOUR_NS) * _HOUR_NS
        rates = (settings.rate, settings.dividend_yield)
        self._chain = chains.list_chain(name, settings.spot, same_day, start_ns, rates, self._rng)
        self._atm_vols = chains.calm_vols(self._tau())
        self._scale_open_interest()
        symbols = [contract.symbol for contract in self._chain.contracts]
        self.recorder = Recorder(name, ["VIX", "VVIX", *(sector for sector, _ in SECTORS), *symbols])
        self._options = OptionMarket(
            self._chain, self.recorder, settings.option_quotes_per_s, settings.option_trades_per_s
        )
        self._lambda, self._greeks = self._impact()
        self._indices = Indices(chains.vix(self._tau(), self._atm_vols), self._act.phase.vvix_goal)

    def _tau(self) -> Floats:
        """Years to each expiry; a settled one stays a second away."""
        return np.maximum(self._chain.settles_ns - self._now_ns, NS_PER_S) / NS_PER_YEAR

    @property
    def _spot(self) -> float:
        return self._settings.spot * math.exp(self._log_price)

    def _fields(self, position: Floats) -> Greeks:
        response = self._act.phase.vol_response
        return chains.true_fields(self._chain, position, self._spot, self._now_ns, self._atm_vols, response)

    def _scale_open_interest(self) -> None:
        unit_gain = calm_lambda(self._book.mid) * self._fields(self._chain.dealer_position).hedge_pressure
        self._chain = chains.scaled(self._chain, self._settings.calm_gain / unit_gain)

    def _impact(self) -> tuple[float, Greeks]:
        """Kyle's lambda and the dealers' fields now.

        In a calm market the book shows the impact. In a crash it shows more than there is: hidden orders and other
        venues carry a part, and come in before the loop becomes critical.
        """
        greeks = self._fields(self._options.position)
        impact = self._conditions.impact * calm_lambda(self._book.mid)
        return min(impact, GAIN_MAX / max(abs(greeks.hedge_pressure), 1.0)), greeks

    def open(self) -> None:
        """Write the reference data and the first quotes."""
        now, record = self._now_ns, self.recorder
        day = str(np.datetime_as_string(np.datetime64(now, "ns"), unit="D"))
        record.reference(now, Instrument(self._name, "spot", CONTRACT_MULTIPLIER, inverse=False))
        nan = math.nan
        record.reference(now, Rates(self._settings.rate, self._settings.dividend_yield, 0, nan, nan))
        for contract in self._chain.contracts:
            record.reference(now, contract)
        for contract, interest in zip(self._chain.contracts, self._chain.open_interest.tolist(), strict=True):
            record.reference(now, OpenInterest(contract.symbol, day, interest))
        if self._settings.publishes_dealer_position:
            for contract, position in zip(self._chain.contracts, self._chain.dealer_position.tolist(), strict=True):
                record.reference(now, DealerPosition(contract.symbol, position))
        self._print_book(now + _MS)
        record.depth(now + 2 * _MS, self._name, self._book.levels())
        self._indices.publish(self.recorder, now + 3 * _MS)
        self._indices.publish_sectors(self.recorder, now + 3 * _MS)
        self._options.quote_all(self._option_state(now), self._rng)
        record.clock(now + STEP_NS - 1)
        self._now_ns += STEP_NS
        self._lambda, self._greeks = self._impact()

    def step(self) -> None:
        """Advance by 50 ms: trades on the standing quotes, then the new price, book, vols, quotes and indices."""
        start, self._now_ns = self._now_ns, self._now_ns + STEP_NS
        self._steps += 1
        self._play(start)
        flow_usd, log_return = self._move()
        self._options.trade(self._option_state(start), self._rng)
        self._print_trades(start, flow_usd)
        self._print_book(start + 22 * _MS)
        self._renew_book(start)
        self._answer_of_vols(log_return)
        self._options.quote(self._option_state(start), self._rng)
        record, end = self.recorder, start + STEP_NS
        if self._steps % 2 == 0:
            self._indices.publish(record, end - 3 * _MS)
        if self._steps % (_STEPS_PER_S // 2) == 0:
            self._indices.publish_sectors(record, end - 2 * _MS)
        if self._steps % _STEPS_PER_S == 0:
            record.clock(end - 1)
        self._lambda, self._greeks = self._impact()

    def _play(self, now_ns: int) -> None:
        """Go on to the next phase when this one is over."""
        elapsed_s = (now_ns - self._act_started_ns) / NS_PER_S
        if elapsed_s >= self._act.duration_s:
            self._act = next(self._acts)
            self._act_started_ns, self._act_started_log = now_ns, self._log_price
        self._conditions.follow(self._act.phase)

    def _move(self) -> tuple[float, float]:
        """Move the price by a step. Returns the signed flow in USD and the log return."""
        phase, settings = self._act.phase, self._settings
        elapsed_s = (self._now_ns - self._act_started_ns) / NS_PER_S
        path_log, path_speed = self._act.path(self._act_started_log, elapsed_s)
        self._speed = path_speed + phase.pull_per_s * (path_log - self._log_price)
        deviation = phase.volatility_per_sqrt_s * math.sqrt(STEP_S)
        pressed, told = self._rng.standard_normal(2).tolist()
        psi = self._greeks.hedge_pressure
        # The customers press only as much as, after the feedback, leads along the path.
        pressure = (1.0 - self._lambda * psi) * self._speed * STEP_S
        pressure += math.sqrt(1.0 - settings.news_share) * deviation * pressed
        news = math.sqrt(settings.news_share) * deviation * told
        hedge_usd = psi * self._last_return - self._greeks.charm_field * STEP_NS / NS_PER_YEAR
        flow_usd = pressure / self._lambda + hedge_usd
        self._last_return = self._lambda * flow_usd + news
        self._log_price += self._last_return
        return flow_usd, self._last_return

    def _print_trades(self, start_ns: int, flow_usd: float) -> None:
        """Print the flow as whole contracts on the standing quote, among trades that cancel each other."""
        book, rng = self._book, self._rng
        self._unprinted += flow_usd / (book.mid * CONTRACT_MULTIPLIER)
        net = round(self._unprinted)
        self._unprinted -= net
        background = int(rng.geometric(1.0 / _BACKGROUND_CONTRACTS))
        sizes = [background, background]
        sides = [BUY, SELL]
        pieces = min(int(rng.integers(1, 4)), abs(net))
        if pieces > 0:
            cuts = np.sort(rng.integers(0, abs(net) - pieces + 1, pieces - 1)).tolist()
            bounds = [0, *cuts, abs(net) - pieces]
            sizes += [1 + after - before for before, after in pairwise(bounds)]
            sides += [BUY if net > 0 else SELL] * pieces
        for pull in range(int(rng.poisson(self._act.phase.pulls))):
            book.pull()
            self._print_book(start_ns + (pull + 1) * _MS // 16)
        order = rng.permutation(len(sizes)).tolist()
        times = (start_ns + np.sort(rng.integers(_MS, 20 * _MS, len(sizes)))).tolist()
        for time_ns, place in zip(times, order, strict=True):
            side, size = sides[place], float(sizes[place])
            price = book.ask if side == BUY else book.bid
            self.recorder.trade(time_ns, self._name, price, size, side)
            book.fill(side, size)

    def _print_book(self, time_ns: int) -> None:
        book = self._book
        bid, ask = (book.bid, float(book.bids[0])), (book.ask, float(book.asks[0]))
        self.recorder.quote(time_ns, self._name, bid, ask)

    def _renew_book(self, start_ns: int) -> None:
        """Follow the price, refill or cancel, and show it."""
        now = self._conditions
        refill = self._act.phase.refill_per_s * STEP_S
        self._book.move(self._spot, round(now.spread_ticks))
        self._book.breathe(now.bid_depth, now.ask_depth, refill)
        self._print_book(start_ns + 25 * _MS)
        if self._steps % 2 == 0:
            self.recorder.depth(start_ns + 26 * _MS, self._name, self._book.levels())

    def _answer_of_vols(self, log_return: float) -> None:
        """Vols answer the price with the stickiness of the skew, come back, and have a life of their own."""
        phase, tau = self._act.phase, self._tau()
        skew = chains.skew(tau, self._atm_vols)
        answer = phase.vol_response * chains.SKEW_STICKINESS * skew * log_return
        back = phase.vol_reversion_per_s * (chains.calm_vols(tau) - self._atm_vols) * STEP_S
        noise = phase.vol_noise_per_sqrt_s * math.sqrt(STEP_S) * self._rng.standard_normal()
        own = noise * skew / np.interp(chains.VIX_TAU, tau, skew)
        self._atm_vols = np.clip(self._atm_vols + answer + back + own, _VOL_MIN, _VOL_MAX)
        self._panic -= phase.panic_points * log_return + phase.vol_reversion_per_s * self._panic * STEP_S
        vix = chains.vix(tau, self._atm_vols) + self._panic
        self._indices.step(log_return, vix, phase, STEP_S, self._rng)

    def _option_state(self, now_ns: int) -> OptionState:
        now = self._conditions
        busy = 1.0 + (_BUSY - 1.0) * min(abs(self._speed) / _BUSY_SPEED, 1.0)
        return OptionState(now_ns, self._book.mid, self._atm_vols, now.option_spread, now.put_buying, busy)

    def truth(self) -> Truth:
        """What is really so now."""
        return Truth(
            underlying=self._name,
            ts_event_ns=self._now_ns,
            phase=self._act.phase.name,
            spot=self._spot,
            vix=self._indices.vix,
            kyle_lambda=self._lambda,
            greeks=self._greeks,
            feedback_gain=self._lambda * self._greeks.hedge_pressure,
            contracts=self._chain.contracts,
            contract_vols=chains.contract_vols(self._chain, self._spot, self._now_ns, self._atm_vols),
            dealer_position=self._options.position.copy(),
        )
