"""American options by QuantLib: the oracle of ``dhpe.numerics.american``."""

import warnings
from typing import Final

with warnings.catch_warnings():
    # Its wrapped types have no module, of which newer Pythons complain.
    warnings.simplefilter("ignore", DeprecationWarning)
    import QuantLib as ql  # noqa: N813 - its own examples call it so

DAY: Final = ql.Date(2, 1, 2026)
ACT_365F: Final = ql.Actual365Fixed()
TREE_STEPS: Final = 801


class Oracle:
    """One process whose numbers are set anew for each question; maturities in whole days."""

    def __init__(self) -> None:
        ql.Settings.instance().evaluationDate = DAY
        self._numbers = [ql.SimpleQuote(value) for value in (100.0, 0.0, 0.0, 0.2)]
        spot, rate, dividend_yield, vol = (ql.QuoteHandle(number) for number in self._numbers)
        self._process = ql.BlackScholesMertonProcess(
            spot,
            ql.YieldTermStructureHandle(ql.FlatForward(DAY, dividend_yield, ACT_365F)),
            ql.YieldTermStructureHandle(ql.FlatForward(DAY, rate, ACT_365F)),
            ql.BlackVolTermStructureHandle(ql.BlackConstantVol(DAY, ql.NullCalendar(), vol, ACT_365F)),
        )

    def option(
        self, spot: float, strike: float, days: int, rate: float, dividend_yield: float, vol: float, right: int
    ) -> ql.VanillaOption:
        """The American option at these numbers, no engine chosen."""
        for number, value in zip(self._numbers, (spot, rate, dividend_yield, vol), strict=True):
            number.setValue(value)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
        return ql.VanillaOption(payoff, ql.AmericanExercise(DAY, DAY + days))

    def exact(self, *terms: float) -> float:
        """Price to seven digits by the fixed point of the boundary (Andersen, Lake and Offengenden)."""
        option = self.option(*terms)
        option.setPricingEngine(ql.QdFpAmericanEngine(self._process, ql.QdFpAmericanEngine.accurateScheme()))
        return float(option.NPV())

    def tree(self, *terms: float) -> float:
        """Price by a Leisen-Reimer tree."""
        option = self.option(*terms)
        option.setPricingEngine(ql.BinomialVanillaEngine(self._process, "lr", TREE_STEPS))
        return float(option.NPV())

    def grid(self, *terms: float) -> tuple[float, float, float]:
        """(price, delta, gamma) by finite differences."""
        option = self.option(*terms)
        option.setPricingEngine(ql.FdBlackScholesVanillaEngine(self._process, 400, 800))
        return float(option.NPV()), float(option.delta()), float(option.gamma())
