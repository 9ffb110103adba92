// What the panel of the dealer field draws: the two answers and the choice, in the units of the cards above it.
const FIELDS = {
  gamma: { factor: 1e-2, unit: "USD per 1 % move",
    meaning: "above 0 the dealers’ hedging leans against a move of spot, below 0 it runs with it." },
  vanna: { factor: 1e-2, unit: "USD per vol point",
    meaning: "above 0 the dealers gain delta as vol rises, and sell; below 0 they buy." },
  charm: { factor: 1 / 525_600, unit: "USD per minute",
    meaning: "above 0 the dealers gain delta as time passes, and sell; below 0 they buy." },
};
const REACHES = [0.02, 0.05, 0.1, 1]; // of spot, either way; 1 is everything
const OTHER = { strike: "delta", delta: "strike" };

const column = (values, factor) => values.map((value) => (value === null ? NaN : value * factor));

// Gamma is published of every book; vanna, charm and all grids of the default book only.
const bookOf = (landscape, choice) =>
  (choice.field === "gamma" ? choice.book || landscape.default_book : landscape.default_book);

function levelsOf(landscape, book) {
  const { gamma_flips: strike, gamma_flips_sticky_delta: delta, call_wall: call, put_wall: put } = landscape.profiles[book];
  const flips = landscape.stickiness === "delta" ? delta : strike;
  const levels = [["spot", landscape.spot], ...flips.map((flip) => ["gamma flip", flip]), ["call wall", call], ["put wall", put]];
  return levels.filter(([, at]) => typeof at === "number").map(([name, at]) => ({ name, at }));
}

// The nearest view that holds the walls and the nearest flip.
function reachOf(landscape) {
  const { spot, gamma_flip: flip, call_wall: call, put_wall: put } = landscape;
  const known = [flip, call, put].filter((at) => typeof at === "number");
  const farthest = Math.max(0, ...known.map((at) => Math.abs(at / spot - 1)));
  return REACHES.find((reach) => farthest < reach) ?? REACHES.at(-1);
}

export function read(landscape, atSpot, choice) {
  const { factor, unit, meaning } = FIELDS[choice.field];
  const field = `${choice.field}_field`, profile = `${choice.field}_profile`;
  const book = bookOf(landscape, choice), { spot, prices, grid, stickiness } = landscape;
  const profiles = choice.field === "gamma" ? landscape.profiles[book] : landscape;
  const reach = choice.reach ?? reachOf(landscape);
  const low = Math.max(prices[0], spot * (1 - reach)), high = Math.min(prices.at(-1), spot * (1 + reach));
  const seen = (at) => at >= low && at <= high;
  const within = (keys, values) => values.filter((_, i) => seen(keys[i]));
  const strike = column(profiles[profile], factor), delta = column(profiles[`${profile}_sticky_delta`], factor);
  const [values, others] = stickiness === "delta" ? [delta, strike] : [strike, delta];
  const { strikes, calls, puts } = atSpot.by_strike;
  return {
    field: choice.field, book, defaultBook: landscape.default_book, unit, meaning, reach, low, high, spot,
    sticky: `sticky ${stickiness}`, otherSticky: `sticky ${OTHER[stickiness]}`,
    levels: levelsOf(landscape, book),
    profile: { prices: within(prices, prices), values: within(prices, values), others: within(prices, others) },
    strikes: { prices: within(strikes, strikes), calls: within(strikes, column(calls[field], factor)),
      puts: within(strikes, column(puts[field], factor)) },
    grid: { prices: grid.prices, seen: within(grid.prices, grid.prices), from: grid.prices.findIndex(seen),
      close: grid.close_ns, instants: grid.instants_ns, rows: grid[field].map((row) => column(row, factor)) },
    terms: atSpot.by_term.terms.map((term, i) => ({ term, value: column(atSpot.by_term[field], factor)[i] })),
  };
}
