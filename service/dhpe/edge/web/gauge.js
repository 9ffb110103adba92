// The dial of the feedback gain: from -1 (strongly damped) over 0 to 1, where hedging feeds on itself.
import { UNKNOWN, fixed, interval } from "/web/format.js";

const SVG = "http://www.w3.org/2000/svg";
const FROM = -1, TO = 1.25;
const CENTRE = [120, 112], RADIUS = 92;
const ZONES = [[FROM, 0, "--calm"], [0, 0.8, "--hot"], [0.8, TO, "--fire"]];
const LABELS = [[-1, "−1"], [-0.5, "−0.5"], [0, "0"], [0.5, "0.5"], [1, "1"]];

function point(gain, radius) {
  const share = (Math.min(TO, Math.max(FROM, gain)) - FROM) / (TO - FROM);
  const angle = Math.PI * (1 - share);
  return [CENTRE[0] + radius * Math.cos(angle), CENTRE[1] - radius * Math.sin(angle)];
}

function arc(from, to, radius) {
  const [x0, y0] = point(from, radius), [x1, y1] = point(to, radius);
  return `M${x0.toFixed(2)} ${y0.toFixed(2)}A${radius} ${radius} 0 0 1 ${x1.toFixed(2)} ${y1.toFixed(2)}`;
}

function add(parent, name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return parent.appendChild(element);
}

export function gauge(element) {
  for (const [from, to, tone] of ZONES) {
    const zone = add(element, "path", { class: "zone", d: arc(from + 0.012, to - 0.012, RADIUS) });
    zone.style.stroke = `var(${tone})`;
    zone.style.opacity = "0.55";
  }
  for (const [gain, text] of LABELS) {
    const [x, y] = point(gain, RADIUS + 11);
    const anchor = Math.abs(x - CENTRE[0]) < 20 ? "middle" : x < CENTRE[0] ? "end" : "start";
    add(element, "text", { x: x.toFixed(1), y: (y + 3).toFixed(1) }, text).style.textAnchor = anchor;
  }
  const band = add(element, "path", { class: "interval" });
  const needle = add(element, "line", { class: "needle" });
  const big = add(element, "text", { class: "big", x: CENTRE[0], y: CENTRE[1] - 14 }, UNKNOWN);
  const sub = add(element, "text", { class: "sub", x: CENTRE[0], y: CENTRE[1] + 6 }, "");
  return {
    draw(status) {
      const { feedback_gain: gain, feedback_gain_low: low, feedback_gain_high: high } = status;
      const known = typeof gain === "number";
      big.textContent = fixed(gain, 3);
      sub.textContent = known ? interval(low, high, 2) : "not known";
      needle.style.display = known ? "" : "none";
      band.style.display = known && low !== null && high !== null ? "" : "none";
      element.setAttribute("aria-label", `Feedback gain ${fixed(gain, 3)}, interval ${interval(low, high, 2)}`);
      if (!known) return;
      const [x1, y1] = point(gain, RADIUS - 16), [x2, y2] = point(gain, RADIUS + 6);
      for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) needle.setAttribute(name, value.toFixed(2));
      if (low !== null && high !== null) band.setAttribute("d", arc(low, high, RADIUS - 11));
    },
  };
}
