"""How liquidity stands against the same time of earlier days: price impact and volume by time of day.

A day is cut into half hours of UTC. The usual value of one is the mean over earlier days with data of that day's mean
in it; the day under way never enters, so the baseline knows nothing that the day could not. Between a change to
summer time and twenty days later it mixes two half hours of the exchange.
"""

from collections import deque
from typing import Final, NamedTuple

from dhpe.numerics.state import NS_PER_S

DAYS: Final = 20
BUCKETS: Final = 48
_NS_PER_DAY: Final = 86_400 * NS_PER_S
_NS_PER_BUCKET: Final = _NS_PER_DAY // BUCKETS


class Ratios(NamedTuple):
    """Now over usual; ``None`` where one of them is unknown or the usual value is 0."""

    kyle_lambda: float | None
    volume: float | None


class Usual:
    """One quantity by half hour: finished days, and the sums of the day under way."""

    def __init__(self) -> None:
        self._days: list[deque[float]] = [deque(maxlen=DAYS) for _ in range(BUCKETS)]
        self._sums = [0.0] * BUCKETS
        self._counts = [0] * BUCKETS

    def end_day(self) -> None:
        """Put the day under way to the earlier ones."""
        for bucket in range(BUCKETS):
            if self._counts[bucket]:
                self._days[bucket].append(self._sums[bucket] / self._counts[bucket])
        self._sums = [0.0] * BUCKETS
        self._counts = [0] * BUCKETS

    def add(self, bucket: int, value: float) -> None:
        """One more value of the day under way."""
        self._sums[bucket] += value
        self._counts[bucket] += 1

    def so_far(self, bucket: int) -> float | None:
        """Mean of the day under way."""
        return self._sums[bucket] / self._counts[bucket] if self._counts[bucket] else None

    def ratio(self, bucket: int, value: float | None) -> float | None:
        """``value`` over the usual one."""
        days = self._days[bucket]
        usual = sum(days) / len(days) if days else 0.0
        return value / usual if value is not None and usual > 0.0 else None


class UsualLiquidity:
    """Impact and volume of one underlying by time of day, fed with closed liquidity bars in order."""

    def __init__(self) -> None:
        self._lambda = Usual()
        self._volume = Usual()
        self._day = -1
        self._bucket = 0

    def observe(self, end_ns: int, kyle_lambda: float | None, volume_usd: float) -> None:
        """Take a closed bar: its end (UTC ns), the impact estimated then, and its volume."""
        begun_ns = end_ns - 1
        day = begun_ns // _NS_PER_DAY
        if day > self._day:
            self._lambda.end_day()
            self._volume.end_day()
            self._day = day
        self._bucket = begun_ns % _NS_PER_DAY // _NS_PER_BUCKET
        if kyle_lambda is not None:
            self._lambda.add(self._bucket, kyle_lambda)
        # A closed market and a break of the feed look alike; only bars with trades say how much is traded.
        if volume_usd > 0.0:
            self._volume.add(self._bucket, volume_usd)

    def ratios(self, kyle_lambda: float | None) -> Ratios:
        """The impact now, and the mean volume of this half hour's bars so far, over the usual ones."""
        return Ratios(
            self._lambda.ratio(self._bucket, kyle_lambda),
            self._volume.ratio(self._bucket, self._volume.so_far(self._bucket)),
        )
