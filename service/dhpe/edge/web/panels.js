// Puts one status record into the page. Every number that is not known shows as a dash.
import { UNKNOWN, clock, fixed, instant, interval, money, percent, price, significant, words } from "/web/format.js";

const byId = (id) => document.getElementById(id);
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const REGIMES = ["normal", "bulldozer", "burnout", "phase_transition"];
const BOOKS = { naive: "open interest only", flow: "moved by every trade", weighted: "trades by their certainty" };

export function build() {
  for (const [name, hint] of Object.entries(BOOKS)) {
    const item = document.createElement("li");
    item.dataset.book = name;
    item.title = hint;
    item.innerHTML = '<span class="name"></span><b class="value"></b><span class="range"></span>'
      + '<div class="strip" aria-hidden="true"><u></u><i></i><b></b></div>';
    item.querySelector(".name").textContent = name;
    byId("books").append(item);
  }
  for (const name of REGIMES) {
    const item = document.createElement("li");
    item.dataset.regime = name;
    item.append(words(name), document.createElement("time"));
    byId("path").append(item);
  }
}

function meaning(status) {
  const { amplification, feedback_gain: gain } = status;
  if (amplification === null && typeof gain === "number" && gain >= 1) {
    return `Hedging feeds on itself: at a gain of ${fixed(gain, 2)} no finite amplification exists.`;
  }
  if (amplification === null) return "Not known now. The quality badge says why.";
  const becomes = `Dealers’ hedging turns a shock of 1.00 % into ${fixed(amplification, 2)} %`;
  if (status.dealer_risk === "amplifying") return `${becomes}: it runs with the market.`;
  if (status.dealer_risk === "dampening") return `${becomes}: it leans against the market.`;
  return `${becomes}; within its error this is no effect.`;
}

function headline(status) {
  const level = fixed(100 * status.interval_level, 0);
  const critical = status.amplification === null && status.feedback_gain >= 1;
  write(byId("amplification"), critical ? "critical" : fixed(status.amplification, 3));
  byId("amplification-unit").hidden = status.amplification === null;
  write(byId("interval-name"), `${level} % interval`);
  write(byId("band-key"), `${level} % interval`);
  write(byId("interval"), `${interval(status.amplification_low, status.amplification_high, 3)} ×`);
  write(byId("meaning"), meaning(status));
  write(byId("risk"), status.dealer_risk ?? UNKNOWN);
  byId("risk").dataset.risk = status.dealer_risk ?? "";
}

function books(status) {
  const ends = Object.values(status.books).flatMap((book) => [book.amplification, book.amplification_low, book.amplification_high]);
  const values = [1, ...ends.filter((value) => value !== null)];
  const middle = Object.values(status.books).map((book) => book.amplification).filter((value) => value !== null);
  const most = 3 * Math.max(0.02, ...middle.map((value) => Math.abs(value - 1))) + 1;
  const from = Math.min(...values), to = Math.max(from + 0.02, Math.min(most, Math.max(...values)));
  const place = (value) => `${(100 * Math.min(1, Math.max(0, (value - from) / (to - from)))).toFixed(1)}%`;
  for (const item of byId("books").children) {
    const book = status.books[item.dataset.book];
    const { amplification: a, amplification_low: low, amplification_high: high } = book;
    write(item.querySelector(".value"), a === null && book.feedback_gain >= 1 ? "critical" : `${fixed(a, 3)}${a === null ? "" : " ×"}`);
    write(item.querySelector(".range"), interval(low, high, 2));
    const [one, range, dot] = item.querySelector(".strip").children;
    one.style.left = place(1);
    dot.style.display = a === null ? "none" : "";
    range.style.display = low === null ? "none" : "";
    if (a !== null) dot.style.left = place(a);
    if (low === null) continue;
    range.style.left = place(low);
    range.style.width = `calc(${high === null ? "100%" : place(high)} - ${place(low)})`;
  }
}

const STORY = {
  normal: "Moves are taken up and answered; the market breathes.",
  bulldozer: "Spot falls, vol rises with it, and hedging pushes the same way.",
  burnout: "Spot still falls but vol no longer follows: the push loses its force.",
  phase_transition: "The force has turned; what bought protection now sells it.",
};

function regime(status, entered) {
  const now = REGIMES.indexOf(status.regime);
  write(byId("story"), STORY[status.regime] ?? "Not known now.");
  for (const [index, item] of [...byId("path").children].entries()) {
    const at = entered.get(item.dataset.regime);
    item.toggleAttribute("aria-current", index === now);
    if (index === now) item.setAttribute("aria-current", "step");
    item.dataset.visited = String(index < now);
    write(item.querySelector("time"), at === undefined ? "" : clock(at));
  }
}

function levels(status) {
  const strip = byId("levels");
  const { spot, call_wall: call, put_wall: put, gamma_flip: flip } = status;
  const marks = [["put wall", put], ["gamma flip", flip], ["call wall", call]].filter(([, value]) => typeof value === "number");
  const text = marks.map(([name, value]) => `${name} ${price(value)}`);
  strip.setAttribute("aria-label", `Levels around spot: ${text.join(", ") || "none known"}`);
  strip.replaceChildren();
  const add = (kind, name, left, content = "") => {
    const element = Object.assign(document.createElement(kind), { className: name.replace(" ", "-"), textContent: content });
    if (left) element.style.left = left;
    strip.append(element);
  };
  if (spot === null || marks.length === 0) { add("span", "none", "", "No wall or flip is known."); return; }
  const reach = 1.15 * Math.max(...marks.map(([, value]) => Math.abs(value - spot)), 1e-9 * spot);
  for (const [index, [name, value]] of marks.entries()) {
    add("i", name, `${(50 + 50 * (value - spot) / reach).toFixed(2)}%`);
    add("span", name, "", text[index]);
  }
  add("i", "spot", "50%");
}

function quality(status) {
  const badge = byId("quality"), bubble = byId("reasons");
  const { status: state, reasons } = status.quality;
  badge.dataset.status = state;
  write(badge, reasons.length ? `${state} · ${reasons.length}` : state);
  const text = reasons.map(words).join("\n");
  if (bubble.dataset.text === text && bubble.childElementCount) return;
  bubble.dataset.text = text;
  const head = document.createElement("b");
  head.textContent = reasons.length ? "Why these numbers are not better" : "Nothing speaks against these numbers.";
  const list = document.createElement("ul");
  list.append(...reasons.map((reason) => Object.assign(document.createElement("li"), { textContent: words(reason) })));
  bubble.replaceChildren(head, ...(reasons.length ? [list] : []));
}

function plain(status) {
  for (const element of document.querySelectorAll("[data-number]")) {
    write(element, fixed(status[element.dataset.number], Number(element.dataset.digits)));
  }
  for (const element of document.querySelectorAll("[data-money]")) write(element, money(status[element.dataset.money]));
  for (const element of document.querySelectorAll("[data-percent]")) write(element, percent(status[element.dataset.percent]));
  for (const element of document.querySelectorAll("[data-word]")) write(element, words(status[element.dataset.word]));
}

function impact(status) {
  const { kyle_lambda: lambda, kyle_lambda_standard_error: error } = status;
  const bp = (value) => significant(value === null ? null : value * 1e13, 3);
  write(byId("impact"), lambda === null || error === null ? bp(lambda) : `${bp(lambda)} ± ${bp(error)}`);
  write(byId("impact-samples"), status.kyle_lambda_samples ? `${status.kyle_lambda_samples} bars` : "");
  write(byId("spot-source"), status.spot_source ? `from ${words(status.spot_source)}` : "");
}

// `status` is the body of /v1/{underlying}/status; `entered` says when each regime was last entered.
export function show(status, entered) {
  headline(status);
  books(status);
  regime(status, entered);
  levels(status);
  quality(status);
  plain(status);
  impact(status);
  write(byId("event-time"), instant(status.ts_event_ns));
  write(byId("engine"), status.engine_version);
  const { partition, chain, ticks } = status.offsets;
  write(byId("offsets"), `partition ${partition}, chain ${chain}, ticks ${ticks}`);
}

// What a record looks like when its numbers may no longer be shown.
export function withheld(status) {
  const kept = ["underlying", "ts_event_ns", "interval_level", "decay_wind_horizon_s", "offsets", "engine_version"];
  const nulled = Object.fromEntries(Object.keys(status).map((name) => [name, kept.includes(name) ? status[name] : null]));
  const empty = (book) => Object.fromEntries(Object.keys(book).map((name) => [name, null]));
  const none = Object.fromEntries(Object.entries(status.books).map(([name, book]) => [name, empty(book)]));
  const reasons = [...new Set([...status.quality.reasons, "pressure_too_old"])].sort();
  return { ...nulled, books: none, quality: { status: "stale", reasons } };
}
