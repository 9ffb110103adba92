// The three pictures over one axis of prices: bars by strike, the profile, the heat map.
import { fullOf, paint, palette } from "/web/heat.js";
import { UNKNOWN, brief, clock, fixed, instant, money, price } from "/web/format.js";
import { reader } from "/web/reader.js";

const SVG = "http://www.w3.org/2000/svg";
const TOP = 8, BOTTOM = 26, LINE = 14; // pixels; LINE is the least distance of two labels
const PRICES = 50, NAMES = 126, GAP = 8, WIDE = 860; // room for prices and, from a width on, for the names of levels
const HINT = "Point at a picture, or focus it and press the arrow keys, to read its values.";
const HOUR_NS = 3600e9, STEPS_H = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96];

function add(parent, name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return parent.appendChild(element);
}

function ticks(from, to, most) {
  const size = 10 ** Math.floor(Math.log10((to - from) / most));
  const step = [1, 2, 2.5, 5, 10].map((digit) => digit * size).find((one) => (to - from) / one <= most);
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step);
}

const px = (value) => value.toFixed(1);

// An empty picture with its axis of prices; `left` and `right` stay free of it.
function frame(element, { low, high, spot }, left, right) {
  element.querySelector("svg")?.remove();
  const width = element.clientWidth, height = element.clientHeight;
  const svg = add(element, "svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const box = { left, top: TOP, right: width - right, bottom: height - BOTTOM };
  const y = (at) => box.top + (high - at) / (high - low) * (box.bottom - box.top);
  for (const at of ticks(low, high, Math.max(3, (box.bottom - box.top) / 48))) {
    add(svg, "path", { class: "grid", d: `M${box.left} ${px(y(at))}H${box.right}` });
    if (left > GAP) add(svg, "text", { x: left - 8, y: px(y(at) + 4), class: "end" }, price(at));
  }
  return { element, svg, box, y, low, high, spot };
}

// Writes below a picture what has room there: the first come first.
function labels(svg, box, list) {
  const taken = [];
  for (const [x, text] of list) {
    const near = x < box.left + 20 ? "start" : x > box.right - 20 ? "end" : "middle";
    const element = add(svg, "text", { x: px(x), y: box.bottom + 16, class: near }, text);
    const { x: from, width } = element.getBBox();
    if (taken.some(([left, right]) => from < right + 6 && from + width > left - 6)) element.remove();
    else taken.push([from, from + width]);
  }
}

// An axis of values below; its zero is always in sight.
function valueAxis({ svg, box }, values) {
  const known = values.filter(Number.isFinite);
  let from = Math.min(0, ...known), to = Math.max(0, ...known);
  if (from === to) { from = -1; to = 1; }
  const margin = 0.05 * (to - from);
  from -= from < 0 ? margin : 0;
  to += to > 0 ? margin : 0;
  const x = (value) => box.left + (value - from) / (to - from) * (box.right - box.left);
  const marks = ticks(from, to, Math.max(4, (box.right - box.left) / 84));
  for (const value of marks) {
    add(svg, "path", { class: value === 0 ? "zero" : "grid", d: `M${px(x(value))} ${box.top}V${box.bottom}` });
  }
  labels(svg, box, marks.sort((one, other) => Math.abs(other) - Math.abs(one)).map((value) => [x(value), brief(value)]));
  return x;
}

// Lines at spot, flips and walls; with their names where `named` says "beside" or "inside".
function levels({ svg, box, y, low, high }, list, named) {
  const seen = list.filter(({ at }) => at >= low && at <= high).sort((one, other) => other.at - one.at);
  for (const { name, at } of seen) {
    add(svg, "path", { class: `level ${name.replace(" ", "-")}`, d: `M${box.left} ${px(y(at))}H${box.right}` });
  }
  if (!named) return;
  const places = seen.map(({ at }) => Math.max(box.top + 10, y(at) + (named === "beside" ? 4 : -4)));
  for (let i = 1; i < places.length; i += 1) places[i] = Math.max(places[i], places[i - 1] + LINE);
  for (let i = places.length - 1, most = box.bottom; i >= 0; i -= 1, most -= LINE) places[i] = Math.min(places[i], most);
  for (const [i, { name, at }] of seen.entries()) {
    const x = named === "beside" ? box.right + 8 : box.right - 4;
    const side = named === "beside" ? "start" : "end";
    const label = add(svg, "text", { x, y: px(places[i]), class: `name ${side} ${name.replace(" ", "-")}` }, `${name} ${price(at)}`);
    if (named === "beside") continue;
    const { x: left, y: top, width, height } = label.getBBox();
    svg.insertBefore(add(svg, "rect", { class: "plate", x: left - 3, y: top, width: width + 6, height, rx: 3 }), label);
  }
}

function strikes(picture, { strikes: { prices, calls, puts } }) {
  const { svg, y } = picture;
  const ends = prices.flatMap((_, i) => [calls[i], puts[i], calls[i] * puts[i] > 0 ? calls[i] + puts[i] : 0]);
  const x = valueAxis(picture, ends);
  const gaps = prices.slice(1).map((at, i) => y(prices[i]) - y(at));
  const width = Math.min(9, Math.max(1, 0.72 * Math.min(...gaps, 12))).toFixed(1);
  const bars = (values, from) => values.map((value, i) =>
    (Number.isFinite(value) ? `M${px(x(from[i]))} ${px(y(prices[i]))}H${px(x(from[i] + value))}` : "")).join("");
  // calls and puts of one sign stand behind each other, never on top
  const after = calls.map((call, i) => (call * puts[i] > 0 ? call : 0));
  add(svg, "path", { class: "bars calls", d: bars(calls, calls.map(() => 0)), "stroke-width": width });
  add(svg, "path", { class: "bars puts", d: bars(puts, after), "stroke-width": width });
}

function line(x, y, prices, values) {
  let open = false;
  return values.map((value, i) => {
    const step = Number.isFinite(value) ? `${open ? "L" : "M"}${px(x(value))} ${px(y(prices[i]))}` : "";
    open = step !== "";
    return step;
  }).join("");
}

function profile(picture, { profile: { prices, values, others } }) {
  const { svg, y } = picture;
  const x = valueAxis(picture, [...values, ...others]);
  for (const [name, side] of [["above", Math.max], ["below", Math.min]]) {
    const part = values.map((value) => side(0, value));
    const path = line(x, y, prices, part);
    if (path) add(svg, "path", { class: `area ${name}`, d: `${path}L${px(x(0))} ${px(y(prices.at(-1)))}L${px(x(0))} ${px(y(prices[0]))}Z` });
  }
  add(svg, "path", { class: "other", d: line(x, y, prices, others) });
  add(svg, "path", { class: "curve", d: line(x, y, prices, values) });
}

function heat(picture, { field, grid }) {
  const { svg, box, element } = picture, canvas = element.querySelector("canvas");
  const full = fullOf(grid, grid.from, grid.from + grid.seen.length);
  const style = { left: box.left, top: box.top, width: box.right - box.left, height: box.bottom - box.top };
  for (const [name, pixels] of Object.entries(style)) canvas.style[name] = `${pixels}px`;
  canvas.width = Math.max(1, Math.round(style.width * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(style.height * devicePixelRatio));
  paint(canvas, grid, picture, full, palette(field === "gamma" ? "--fire" : "--faint"));
  const from = grid.instants[0], span = Math.max(1, grid.instants.at(-1) - from);
  const step = HOUR_NS * (STEPS_H.find((hours) => span / (hours * HOUR_NS) <= style.width / 64) ?? STEPS_H.at(-1));
  const hours = Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => (Math.ceil(from / step) + i) * step)
    .filter((at) => at <= from + span);
  labels(svg, box, hours.map((at) => [box.left + (at - from) / span * style.width,
    step < 24 * HOUR_NS ? clock(at).slice(0, 5) : instant(at).slice(5, 10)]));
  return full;
}

// `tell` is given what is being read, or how to read.
export function panes(root, tell) {
  const [strikePane, profilePane, heatPane] = ["strikes", "profile", "heat"].map((name) => root.querySelector(`.${name} .pane`));
  const say = (text) => tell(text || HINT);
  const [strikeReader, profileReader, heatReader] = [strikePane, profilePane, heatPane].map((pane) => reader(pane, say));
  return {
    // Draws what was read; answers the number that has the full tone of the heat map.
    draw(reading) {
      const { field, unit, levels: marks, profile: curve, strikes: bars, grid } = reading;
      const wide = root.clientWidth >= WIDE;
      const left = frame(strikePane, reading, PRICES, GAP);
      strikes(left, reading);
      levels(left, marks, "");
      const middle = frame(profilePane, reading, GAP, GAP);
      profile(middle, reading);
      levels(middle, marks, wide ? "" : "inside");
      const right = frame(heatPane, reading, wide ? GAP : PRICES, wide ? NAMES : GAP);
      const full = heat(right, reading);
      levels(right, marks, wide ? "beside" : "inside");
      say("");
      const amount = (value) => (Number.isFinite(value) ? `${money(value)} ${unit}` : UNKNOWN);
      strikeReader.set(left, bars.prices, 1, (row) =>
        `strike ${price(bars.prices[row])}: calls ${amount(bars.calls[row])}, puts ${amount(bars.puts[row])}`);
      profileReader.set(middle, curve.prices, 1, (row) =>
        `${field} at ${fixed(curve.prices[row], 2)}: ${amount(curve.values[row])}; ${reading.otherSticky}: ${amount(curve.others[row])}`);
      heatReader.set(right, grid.seen, grid.instants.length, (row, column) =>
        `${field} at ${fixed(grid.seen[row], 2)}, ${clock(grid.instants[column])} UTC: ${amount(grid.rows[column][grid.from + row])}`);
      return full;
    },
  };
}
