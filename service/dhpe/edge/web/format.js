// Numbers as people read them. A number that is not known is an em dash, never 0.
export const UNKNOWN = "—";
const SCALES = [[1e12, "tn"], [1e9, "bn"], [1e6, "mn"], [1e3, "k"]];

const known = (value) => typeof value === "number" && Number.isFinite(value);
const signed = (text) => text.replace(/^-/, "−");
const grouped = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function fixed(value, digits) {
  if (!known(value)) return UNKNOWN;
  const text = grouped(value, digits);
  return signed(Number(text.replaceAll(",", "")) === 0 ? grouped(0, digits) : text);
}

export function significant(value, digits = 3) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size >= 6 || size < -4) return signed(value.toExponential(digits - 1).replace("e+", "e"));
  return signed(grouped(value, Math.max(0, digits - 1 - size)));
}

export function money(value) {
  if (!known(value)) return UNKNOWN;
  const [divisor, name] = SCALES.find(([scale]) => Math.abs(value) >= scale) ?? [1, ""];
  const scaled = value / divisor;
  const size = Math.abs(scaled) < 1 ? 0 : Math.floor(Math.log10(Math.abs(scaled)));
  return `${signed(grouped(scaled, Math.max(0, 2 - size)))}${name && ` ${name}`}`;
}

// The same where every character counts.
export const brief = (value) => money(value).replace(/\.0+(?= |$)/, "");

// A price as its own size asks for: whole strikes without decimals.
export const price = (value) => (known(value) && Number.isInteger(value) ? fixed(value, 0) : fixed(value, 2));
export const percent = (value) => (known(value) ? `${fixed(100 * value, 0)} %` : UNKNOWN);
export const words = (value) => (value ? value.replaceAll("_", " ") : UNKNOWN);

export function interval(low, high, digits) {
  if (!known(low) && !known(high)) return UNKNOWN;
  return `${known(low) ? fixed(low, digits) : "?"} to ${known(high) ? fixed(high, digits) : "∞"}`;
}

export function age(seconds) {
  if (!known(seconds)) return "no data yet";
  if (seconds < 10) return `${fixed(seconds, 1)} s old`;
  if (seconds < 120) return `${fixed(seconds, 0)} s old`;
  return seconds < 7200 ? `${fixed(seconds / 60, 0)} min old` : `${fixed(seconds / 3600, 1)} h old`;
}

// ts_event_ns is larger than a double holds exactly; milliseconds are all that a clock face needs.
export const clock = (ns) => new Date(ns / 1e6).toISOString().slice(11, 19);
export const instant = (ns) => new Date(ns / 1e6).toISOString().slice(0, 19).replace("T", " ");
