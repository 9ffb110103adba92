"""The bodies of the answers, and the one rule about age: beyond ``stale_after_s`` nothing measured is said.

Age is wall clock: now minus the instant at which the record was appended to the log. The engine's own quality
(event time) stands beside it and is only ever made worse here.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from dhpe.edge.api.models import FIELD_HEAD, FIELD_PARTS, HEADLINE, KEPT_WHEN_STALE, LEFT_OUT_OF_BOOKS
from dhpe.edge.metrics import NUMBERS, UnderlyingSample
from dhpe.edge.view import HistoryPoint, KeptAlert, KeptField, Latest, View
from dhpe.outputs import BookPressure, Books, Pressure, Quality

TOO_OLD: Final = "pressure_too_old"
FIELD_TOO_OLD: Final = "field_too_old"
NULL: Final = b"null"
SIMULATED_PREFIX: Final = "SIM"

_UNKNOWN_BOOK: Final = BookPressure(*(None for _ in BookPressure.__struct_fields__))
_UNKNOWN_BOOKS: Final = Books(_UNKNOWN_BOOK, _UNKNOWN_BOOK, _UNKNOWN_BOOK)


class Answers:
    """Bodies made from the view at the time of ``now_s`` (seconds since 1970)."""

    def __init__(self, view: View, now_s: Callable[[], float], stale_after_s: float, *, simulated: bool) -> None:
        self._view = view
        self._now_s = now_s
        self._stale_after_s = stale_after_s
        self._simulated = simulated

    def is_simulated(self, underlying: str) -> bool:
        """Whether the market behind ``underlying`` is a simulation."""
        return self._simulated or underlying.startswith(SIMULATED_PREFIX)

    def age_s(self, append_time_ms: int) -> float:
        """Seconds since the append; never negative, whatever two clocks say of each other."""
        return round(max(0.0, self._now_s() - append_time_ms / 1000), 3)

    def status(self, latest: Latest) -> bytes:
        """The published record with its age, or with nulls where it is too old."""
        age_s = self.age_s(latest.append_time_ms)
        added = {"age_s": age_s, "simulated": self.is_simulated(latest.pressure.underlying)}
        if age_s <= self._stale_after_s:
            record = latest.raw.rstrip()  # as it stands in the log, to the byte
            return record[:-1] + b"," + msgspec.json.encode(added)[1:]
        return msgspec.json.encode(_withheld(latest.pressure) | added)

    def amplification(self, latest: Latest) -> bytes:
        """The headline with its interval, its books and its age."""
        age_s = self.age_s(latest.append_time_ms)
        pressure = latest.pressure
        fresh = age_s <= self._stale_after_s
        source = _as_dict(pressure) if fresh else _withheld(pressure)
        body: dict[str, Any] = {name: source[name] for name in HEADLINE}
        body["books"] = {
            name: {field: value for field, value in _as_dict(book).items() if field not in LEFT_OUT_OF_BOOKS}
            for name, book in _as_dict(source["books"]).items()
        }
        body["quality"] = source["quality"]
        return msgspec.json.encode(body | {"age_s": age_s, "simulated": self.is_simulated(pressure.underlying)})

    def underlyings(self) -> bytes:
        """One line per underlying, and the age from which numbers are withheld."""
        lines = []
        for name, latest, age_s, fresh in self._all():
            pressure = latest.pressure
            lines.append(
                {
                    "spot": pressure.spot if fresh else None,
                    "amplification": pressure.amplification if fresh else None,
                    "dealer_risk": pressure.dealer_risk if fresh else None,
                    "regime": pressure.regime if fresh else None,
                    "underlying": name,
                    "ts_event_ns": pressure.ts_event_ns,
                    "quality": pressure.quality if fresh else _stale(pressure.quality),
                    "age_s": age_s,
                    "simulated": self.is_simulated(name),
                }
            )
        return msgspec.json.encode({"underlyings": lines, "stale_after_s": self._stale_after_s})

    def alerts(self, kept: list[KeptAlert]) -> bytes:
        """The alerts as they stand in the log."""
        return b'{"alerts":[' + b",".join(alert.raw for alert in kept) + b"]}"

    def history(self, underlying: str, interval_ms: int) -> bytes:
        """The ring of the headline as one array per number."""
        points = self._view.history(underlying)
        columns = zip(*points, strict=True) if points else ((),) * len(HistoryPoint._fields)
        body = {
            "underlying": underlying,
            "interval_ms": interval_ms,
            "simulated": self.is_simulated(underlying),
            "columns": dict(zip(HistoryPoint._fields, columns, strict=True)),
        }
        return msgspec.json.encode(body)

    def field(self, kept: KeptField, part: str) -> bytes:
        """One part of the field with whose it is and how old; its numbers are null where it is too old or unknown."""
        head = self._field_head(kept)
        numbers = NULL if head["age_s"] > self._stale_after_s else bytes(getattr(kept.parts, part))
        if numbers == NULL:
            return msgspec.json.encode(head | dict.fromkeys(FIELD_PARTS[part].__struct_fields__))
        return msgspec.json.encode(head)[:-1] + b"," + numbers.lstrip()[1:]

    def field_head(self, kept: KeptField) -> bytes:
        """What the four parts of the field share."""
        return msgspec.json.encode(self._field_head(kept))

    def samples(self) -> Iterator[UnderlyingSample]:
        """What a scrape of the metrics tells: nothing that the answers would withhold."""
        for name, latest, age_s, fresh in self._all():
            pressure = latest.pressure
            numbers = {field: getattr(pressure, field) if fresh else None for field in NUMBERS}
            regime = pressure.regime if fresh else None
            yield UnderlyingSample(name, age_s, regime, pressure.quality.status if fresh else "stale", numbers)

    def _field_head(self, kept: KeptField) -> dict[str, Any]:
        parts = kept.parts
        age_s = self.age_s(kept.append_time_ms)
        head = {name: getattr(parts, name) for name in FIELD_HEAD}
        head |= {"age_s": age_s, "simulated": self.is_simulated(parts.underlying)}
        if age_s > self._stale_after_s:
            head |= {"spot": None, "spot_source": None, "quality": _stale(parts.quality, FIELD_TOO_OLD)}
        return head

    def _all(self) -> Iterator[tuple[str, Latest, float, bool]]:
        for name in self._view.underlyings():
            latest = self._view.latest(name)
            if latest is not None:
                age_s = self.age_s(latest.append_time_ms)
                yield name, latest, age_s, age_s <= self._stale_after_s


def _as_dict(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _stale(quality: Quality, reason: str = TOO_OLD) -> Quality:
    return Quality("stale", sorted({*quality.reasons, reason}))


def _withheld(pressure: Pressure) -> dict[str, Any]:
    body = {name: value if name in KEPT_WHEN_STALE else None for name, value in _as_dict(pressure).items()}
    return body | {"books": _UNKNOWN_BOOKS, "quality": _stale(pressure.quality)}
