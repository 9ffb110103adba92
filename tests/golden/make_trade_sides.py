"""Write ``trade_sides.npz``: the labels that the ``tclf`` package gives to random trades. Run in a venv of its own.

    python -m venv /elsewhere && /elsewhere/bin/pip install tclf==0.0.9 'numpy<2' 'pandas<2.3' 'scikit-learn<1.6'
    /elsewhere/bin/python tests/golden/make_trade_sides.py [binance columns .npz]

``tclf`` needs a numpy older than ours. The trades are made anew from the seed wherever they are needed (``trades``);
stored are labels alone, as packed int8. Columns of real trades, written by the test beside this script into a file
outside the project, may be named to label these too: their labels alone are stored, as ``real_<rule>``.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

SEED = 20_240_808
COUNT = 120_000
GOLDEN = Path(__file__).parent / "trade_sides.npz"
STACK = [
    ("trade_size", "ex"), ("quote", "best"), ("quote", "ex"), ("depth", "best"), ("depth", "ex"), ("rev_tick", "all")
]  # fmt: skip
LAYERS = {
    "tick": [("tick", "all")],
    "reverse_tick": [("rev_tick", "all")],
    "quote": [("quote", "best")],
    "lee_ready": [("quote", "best"), ("tick", "all")],
    "reverse_lee_ready": [("quote", "best"), ("rev_tick", "all")],
    "emo": [("emo", "best")],
    "reverse_emo": [("rev_emo", "best")],
    "clnv": [("clnv", "best")],
    "reverse_clnv": [("rev_clnv", "best")],
    "depth": [("depth", "best")],
    "trade_size": [("trade_size", "best")],
    "stack": STACK,
}


def trades() -> dict[str, np.ndarray]:
    """Random trades on a grid of five cents, around quotes that are wide, locked, crossed, one-sided and absent."""
    random = np.random.Generator(np.random.PCG64(SEED))

    def quotes() -> tuple[np.ndarray, ...]:
        bid = random.integers(0, 40, COUNT) * 5 / 100
        ask = bid + random.integers(-1, 9, COUNT) * 5 / 100
        ask = np.where(ask > 0.0, ask, 0.05)
        absent = random.random(COUNT) < 0.03
        bid[absent], ask[absent] = np.nan, np.nan
        bid_size, ask_size = random.integers(0, 30, COUNT) * 1.0, random.integers(0, 30, COUNT) * 1.0
        bid_size[random.random(COUNT) < 0.02] = np.nan
        return bid, bid_size, ask, ask_size

    columns = dict(zip(("bid", "bid_size", "ask", "ask_size"), quotes(), strict=True))
    columns |= dict(zip(("venue_bid", "venue_bid_size", "venue_ask", "venue_ask_size"), quotes(), strict=True))
    place = random.integers(-2, 12, COUNT) / 10
    price = columns["bid"] + place * (columns["ask"] - columns["bid"])
    anywhere = random.integers(1, 50, COUNT) * 5 / 100
    columns["price"] = np.where(np.isnan(price) | (random.random(COUNT) < 0.1), anywhere, np.maximum(price, 0.01))
    columns["size"] = random.integers(1, 30, COUNT) * 1.0
    return columns


def closest_different(price: np.ndarray, instrument: np.ndarray) -> np.ndarray:
    """The last different price before each trade of its instrument, slowly."""
    seen: dict[int, tuple[float, float]] = {}
    answer = np.full(len(price), np.nan)
    for place, (code, paid) in enumerate(zip(instrument.tolist(), price.tolist(), strict=True)):
        last, different = seen.get(code, (np.nan, np.nan))
        if paid != last:
            last, different = paid, last
        seen[code] = (last, different)
        answer[place] = different
    return answer


def labels(columns: dict[str, np.ndarray], instrument: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """The labels of every rule, two bits each, packed."""
    import pandas as pd  # noqa: PLC0415 - of the other environment
    from tclf.classical_classifier import ClassicalClassifier  # noqa: PLC0415

    before = closest_different(columns["price"], instrument)
    after = closest_different(columns["price"][::-1], instrument[::-1])[::-1]
    frame = pd.DataFrame(
        {"trade_price": columns["price"], "trade_size": columns["size"]}
        | {"price_all_lag": before, "price_all_lead": after, "price_best_lag": before, "price_best_lead": after}
        | {f"{name}_best": columns[name] for name in ("bid", "bid_size", "ask", "ask_size")}
        | {f"{name}_ex": columns[f"venue_{name}"] for name in ("bid", "bid_size", "ask", "ask_size")}
    )
    answer = {}
    for rule, layers in LAYERS.items():
        classifier = ClassicalClassifier(layers=layers, strategy="const").fit(frame)
        answer[prefix + rule] = pack(classifier.predict(frame).astype(np.int8))
    return answer


def digest(columns: dict[str, np.ndarray]) -> np.ndarray:
    """SHA-256 of the trades, so that a generator that changed is noticed."""
    whole = hashlib.sha256(b"".join(np.ascontiguousarray(columns[name]).tobytes() for name in sorted(columns)))
    return np.frombuffer(whole.digest(), np.uint8)


def pack(sides: np.ndarray) -> np.ndarray:
    """Four labels a byte, each as side + 1."""
    bits = np.zeros(-(-len(sides) // 4) * 4, np.uint8)
    bits[: len(sides)] = sides + 1
    four = bits.reshape(-1, 4)
    return four[:, 0] | four[:, 1] << 2 | four[:, 2] << 4 | four[:, 3] << 6


def unpack(packed: np.ndarray, count: int) -> np.ndarray:
    """The labels again."""
    four = np.stack([packed & 3, packed >> 2 & 3, packed >> 4 & 3, packed >> 6 & 3], axis=1)
    return four.reshape(-1)[:count].astype(np.int8) - 1


if __name__ == "__main__":
    golden = labels(trades(), np.zeros(COUNT, np.int64)) | {"digest": digest(trades())}
    for path in sys.argv[1:]:
        real = dict(np.load(path))
        golden |= labels(real, real["instrument"], "real_")
        golden["real_count"] = np.array([len(real["price"])])
    np.savez_compressed(GOLDEN, **golden)
