// Reads one point of a picture at a time, by pointer or by arrow keys: rows are prices, columns (of the heat map) instants.
import { price } from "/web/format.js";

const SVG = "http://www.w3.org/2000/svg";
const STEPS = { ArrowUp: [1, 0], ArrowDown: [-1, 0], PageUp: [10, 0], PageDown: [-10, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };

const bounded = (value, last) => Math.min(last, Math.max(0, value));

// `say` is told what is read, and nothing at the end.
export function reader(element, say) {
  let picture = null, prices = [], columns = 1, text = () => "", at = null;

  function mark(path) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("class", "cursor");
    line.setAttribute("d", path);
    picture.svg.append(line);
  }

  function show() {
    const { svg, box, y, spot } = picture;
    svg.querySelectorAll(".cursor").forEach((line) => line.remove());
    element.setAttribute("aria-valuenow", at ? prices[at.row] : spot);
    element.setAttribute("aria-valuetext", at ? text(at.row, at.column) : `spot ${price(spot)}`);
    if (!at) return;
    mark(`M${box.left} ${y(prices[at.row]).toFixed(1)}H${box.right}`);
    if (columns > 1) mark(`M${(box.left + at.column / (columns - 1) * (box.right - box.left)).toFixed(1)} ${box.top}V${box.bottom}`);
    say(text(at.row, at.column));
  }

  function end() {
    if (!at) return;
    at = null;
    show();
    say("");
  }

  const nearest = (wanted) =>
    prices.reduce((best, one, i) => (Math.abs(one - wanted) < Math.abs(prices[best] - wanted) ? i : best), 0);
  const atSpot = () => ({ row: nearest(picture.spot), column: 0 });

  element.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (prices.length === 0) return;
    const { left, top } = element.getBoundingClientRect(), { box, low, high } = picture;
    const across = (clientX - left - box.left) / (box.right - box.left), down = (clientY - top - box.top) / (box.bottom - box.top);
    at = { row: nearest(high - down * (high - low)), column: bounded(Math.round(across * (columns - 1)), columns - 1) };
    show();
  });
  element.addEventListener("pointerleave", end);
  element.addEventListener("blur", end);
  element.addEventListener("focus", () => {
    if (prices.length === 0) return;
    at ??= atSpot();
    show();
  });
  element.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || prices.length === 0) return;
    event.preventDefault();
    const from = at ?? atSpot();
    at = { row: bounded(from.row + step[0], prices.length - 1), column: bounded(from.column + step[1], columns - 1) };
    show();
  });
  return {
    // What there is to read now; a point that is being read stays so.
    set(drawn, rows, count, textOf) {
      [picture, prices, columns, text] = [drawn, rows, count, textOf];
      if (at && (at.row >= rows.length || at.column >= count)) at = null;
      element.setAttribute("aria-valuemin", drawn.low);
      element.setAttribute("aria-valuemax", drawn.high);
      show();
    },
  };
}
