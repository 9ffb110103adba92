// The panel of the dealer field. The stream tells of a new one; it is asked for where somebody can see it, and only then.
import { age, brief, instant, money, price, words } from "/web/format.js";
import { panes } from "/web/panes.js";
import { read } from "/web/reading.js";
import { tables } from "/web/tables.js";

const byId = (id) => document.getElementById(id);
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const now = () => performance.now() / 1e3;
const WAITING = "No field yet. One comes a few seconds after the first record; with DHPE_FIELD_INTERVAL_S = 0 there is none.";
const PICTURES = { strikes: "by strike", profile: "re-priced over price", heat: "over price and time to the settlement" };

const ageOf = ({ landscape, received }) => landscape.age_s + now() - received;

// Why there is nothing to draw, in words; empty where there is something.
function absence(shown, told, staleAfterS) {
  if (!shown) return told === null ? WAITING : "The field is being fetched.";
  if (shown.problem) return `There is no field to show: ${shown.problem}`;
  if (ageOf(shown) > staleAfterS) return "The last field is too old; its numbers are withheld until a new one comes.";
  const { prices, quality } = shown.landscape;
  return prices === null || shown.atSpot.by_strike === null ? `The field is not known now: ${quality.reasons.map(words).join(", ")}.` : "";
}

function writeTerms(terms) {
  const most = Math.max(...terms.map(({ value }) => Math.abs(value)), Number.MIN_VALUE);
  byId("landscape-terms").replaceChildren(...terms.map(({ term, value }) => {
    const item = document.createElement("li"), bar = document.createElement("i");
    const name = Object.assign(document.createElement("span"), { textContent: term });
    const number = Object.assign(document.createElement("b"), { textContent: money(value) });
    const strip = Object.assign(document.createElement("div"), { className: "strip", ariaHidden: "true" });
    bar.className = value < 0 ? "below" : "above";
    bar.style.width = `${(50 * Math.abs(value) / most).toFixed(1)}%`;
    strip.append(document.createElement("u"), bar);
    item.append(name, number, strip);
    return item;
  }));
}

function writeWords(reading, full) {
  const { field, book, defaultBook, unit, meaning, levels, sticky, otherSticky, grid } = reading;
  write(byId("landscape-meaning"), `${field[0].toUpperCase()}${field.slice(1)} in ${unit}: ${meaning}`);
  for (const element of document.querySelectorAll("#landscape [data-book]")) {
    write(element, `${element.dataset.book === "chosen" ? book : defaultBook} book`);
  }
  write(byId("landscape-unit"), unit);
  write(byId("landscape-close"), `${instant(grid.close).slice(5, 16)} UTC`);
  write(byId("landscape-sticky"), sticky);
  write(byId("landscape-other-sticky"), otherSticky);
  const stops = [`≤ ${brief(-full)}`, brief(-full / 2), "0", brief(full / 2), `≥ ${brief(full)}`];
  for (const [i, element] of document.querySelectorAll("#landscape-ramp b").entries()) write(element, stops[i]);
  const named = levels.map(({ name, at }) => `${name} ${price(at)}`);
  if (!levels.some(({ name }) => name === "gamma flip")) named.push("no gamma flip");
  write(byId("landscape-levels"), `${named.join(" · ")}. Prices in the underlying’s currency; flips and walls of the ${book} book’s gamma.`);
  for (const [name, what] of Object.entries(PICTURES)) {
    byId("landscape").querySelector(`.${name} .pane`).setAttribute("aria-label", `${field} ${what}, ${unit}; ${named.join(", ")}`);
  }
}

// `headers` go with every question. What the page does with the panel: choose, told, tick.
export function landscapePanel(headers) {
  const root = byId("landscape"), form = byId("landscape-choices"), numbers = byId("landscape-numbers");
  const pictures = root.querySelector(".panes");
  const drawing = panes(pictures, (text) => write(byId("landscape-readout"), text));
  const choice = { field: "gamma", book: "", reach: null }; // no book: the default one; no reach: as wide as walls and flip ask for
  let underlying = "", asking = new AbortController();
  let told = null, asked = null, shown = null; // event times of the newest field and of the last one asked for; its answers
  let busy = false, onScreen = false, staleAfterS = Infinity, drawn = "", width = 0;

  async function answer(part, signal) {
    const path = `/v1/${encodeURIComponent(underlying)}/${part}`;
    const response = await fetch(path, { headers: headers(), cache: "no-store", signal });
    if (response.ok) return response.json();
    const problem = await response.json().catch(() => ({}));
    return { problem: problem.detail ?? `it answers with status ${response.status}.` };
  }

  async function ask() {
    const { signal } = asking;
    [asked, busy] = [told, true];
    try {
      const [landscape, atSpot] = await Promise.all([answer("landscape", signal), answer("field", signal)]);
      shown = { landscape, atSpot, problem: landscape.problem ?? atSpot.problem, received: now() };
      draw();
    } catch (error) {
      if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
      if (!signal.aborted) asked = told = null; // the stream comes back by itself, and tells of the field again
    } finally {
      busy = false;
    }
    look();
  }

  function look() {
    if (told !== asked && !busy && onScreen && !document.hidden) ask();
  }

  function draw() {
    const why = absence(shown, told, staleAfterS);
    drawn = state();
    write(byId("landscape-none"), why);
    byId("landscape-none").hidden = why === "";
    byId("landscape-body").hidden = form.hidden = why !== "";
    if (why) return;
    width = pictures.clientWidth;
    const reading = read(shown.landscape, shown.atSpot, choice);
    for (const input of form.elements.book) input.disabled = reading.field !== "gamma" && input.value !== reading.defaultBook;
    for (const name of ["field", "book", "reach"]) form.elements[name].value = String(reading[name]);
    writeWords(reading, drawing.draw(reading));
    writeTerms(reading.terms);
    numbers.querySelector(".tables").replaceChildren(...(numbers.open ? tables(reading) : []));
  }

  // What a picture depends on beside the answers and the choice: whether they are too old, and the theme.
  const state = () => `${absence(shown, told, staleAfterS) === ""} ${getComputedStyle(root).backgroundColor}`;

  new IntersectionObserver(([{ isIntersecting }]) => { onScreen = isIntersecting; look(); }).observe(root);
  new ResizeObserver(() => { if (shown && pictures.clientWidth !== width) draw(); }).observe(pictures);
  document.addEventListener("visibilitychange", look);
  numbers.addEventListener("toggle", draw);
  form.addEventListener("change", ({ target: { name, value } }) => {
    choice[name] = name === "reach" ? Number(value) : value;
    draw();
  });
  return {
    choose(name) {
      asking.abort();
      asking = new AbortController();
      underlying = name;
      told = asked = shown = null;
      draw();
    },
    // A notice of the stream: the head of the newest field.
    told(head) {
      told = head.ts_event_ns;
      if (!shown) draw();
      look();
    },
    // A few times a second.
    tick(seconds) {
      staleAfterS = seconds;
      write(byId("landscape-age"), shown?.landscape.age_s === undefined ? "" : `field ${age(ageOf(shown))}`);
      if (drawn !== state()) draw();
    },
  };
}
