// The page: picks an underlying, listens, and redraws a few times a second, however fast the market is.
import { alertBook } from "/web/alerts.js";
import { amplificationChart, sparkline } from "/web/charts.js";
import { age, fixed } from "/web/format.js";
import { gauge } from "/web/gauge.js";
import { landscapePanel } from "/web/landscape.js";
import { build, show, withheld } from "/web/panels.js";
import { listen } from "/web/stream.js";

const REDRAW_MS = 250, LIST_MS = 10_000, POINTS = 1200;
const FIELDS = ["spot", "amplification", "amplification_low", "amplification_high", "feedback_gain",
  "gamma_usd_per_1pct", "vanna_usd_per_vol_point", "charm_usd_per_minute"];
const byId = (id) => document.getElementById(id);

const alerts = alertBook();
let columns = empty(), intervalS = 0.5, status = null, received = 0, changed = true, wasStale = null;
let staleAfterS = 30, chosen = "", listening = new AbortController(), listed = "";
let heard = false; // whether this connection has brought a record: before, the service may still restore

function empty() {
  return Object.fromEntries([["time_s", []], ...FIELDS.map((name) => [name, []])]);
}

const apiKey = () => sessionStorage.getItem("dhpe-key");
const headers = () => (apiKey() ? { "X-API-Key": apiKey() } : {});
const landscape = landscapePanel(headers);
const now = () => performance.now() / 1e3;

async function get(path, signal) {
  const response = await fetch(path, { headers: headers(), cache: "no-store", signal });
  return response.ok ? response.json() : null;
}

function append(record) {
  const time = record.ts_event_ns / 1e9, times = columns.time_s, last = times.at(-1);
  if (last !== undefined && time < last) columns = empty();
  const same = columns.time_s.length > 0 && Math.floor(time / intervalS) === Math.floor(columns.time_s.at(-1) / intervalS);
  const put = (column, value) => {
    if (same) column[column.length - 1] = value;
    else column.push(value);
    if (column.length > POINTS) column.shift();
  };
  put(columns.time_s, time);
  for (const name of FIELDS) put(columns[name], record[name]);
}

function onEvent({ name, data }) {
  const record = JSON.parse(data);
  if (record.underlying !== chosen) return;
  if (name === "alert") alerts.add(record, true);
  if (name === "pressure") {
    status = record;
    received = now();
    append(record);
    if (!heard) catchUp(chosen, listening.signal).catch(ignoreBreak);
    heard = true;
  }
  if (name === "field") landscape.told(record);
  else changed = true;
}

// The stream says that the service is away, and comes back by itself.
function ignoreBreak(error) {
  if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
}

// With every (re)connection the past is asked for anew: what happened meanwhile belongs on the chart.
async function catchUp(underlying, signal) {
  const path = `/v1/${encodeURIComponent(underlying)}`;
  const [history, recent] = await Promise.all([get(`${path}/history`, signal), get(`${path}/alerts`, signal)]);
  if (underlying !== chosen) return;
  if (history) {
    intervalS = history.interval_ms / 1e3;
    columns = { time_s: history.columns.ts_event_ns.map((ns) => ns / 1e9) };
    for (const name of FIELDS) columns[name] = history.columns[name];
  }
  for (const alert of recent?.alerts.reverse() ?? []) alerts.add(alert, false);
  changed = true;
}

function showState(state) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = { live: "live", lost: "reconnecting", locked: "locked" }[state];
  byId("key").hidden = state !== "locked";
}

function choose(underlying) {
  if (underlying === chosen) return;
  listening.abort();
  listening = new AbortController();
  const { signal } = listening;
  chosen = underlying;
  columns = empty();
  status = null;
  alerts.clear();
  landscape.choose(underlying);
  history.replaceState(null, "", `#${encodeURIComponent(underlying)}`);
  listen(`/v1/stream?underlying=${encodeURIComponent(underlying)}`, {
    headers,
    signal,
    onEvent,
    onState(state) {
      if (signal.aborted) return;
      heard = false;
      showState(state);
    },
  });
}

// Nothing is asked of a service that may still restore: the first record on the stream says that there are answers.
async function firstRecord() {
  const waiting = new AbortController();
  const { signal } = waiting;
  await listen("/v1/stream", { headers, signal, onState: showState, onEvent: ({ name }) => { if (name !== "field") waiting.abort(); } });
  return signal.aborted;
}

async function refreshList() {
  const answer = await get("/v1/underlyings").catch(ignoreBreak);
  if (!answer || answer.underlyings.length === 0) return;
  staleAfterS = answer.stale_after_s;
  const names = answer.underlyings.map((line) => line.underlying);
  if (listed !== names.join("\n")) {
    listed = names.join("\n");
    byId("underlying").replaceChildren(...names.map((name) => new Option(name, name)));
  }
  const wanted = decodeURIComponent(location.hash.slice(1));
  choose(names.includes(wanted) ? wanted : names.includes(chosen) ? chosen : names[0]);
  byId("underlying").value = chosen;
  byId("simulated").hidden = !answer.underlyings.some((line) => line.underlying === chosen && line.simulated);
}

function redraw(drawings) {
  if (!status) return;
  const ageS = status.age_s + now() - received;
  const stale = ageS > staleAfterS;
  byId("age").textContent = age(ageS);
  const banner = byId("stale");
  banner.hidden = !stale;
  landscape.tick(staleAfterS);
  if (stale) banner.textContent = `No new data for ${fixed(ageS, 0)} s. Numbers are withheld until they come again.`;
  if (!changed && stale === wasStale) return;
  byId("page").dataset.stale = String(stale);
  byId("page").setAttribute("aria-busy", "false");
  const shown = stale ? withheld(status) : status;
  show(shown, alerts.entered());
  for (const drawing of drawings.dials) drawing.draw(shown);
  for (const drawing of drawings.charts) drawing.draw(columns);
  document.title = stale || status.amplification === null ? `${chosen} · DHPE` : `${fixed(status.amplification, 2)}× ${chosen} · DHPE`;
  changed = false;
  wasStale = stale;
}

function chooseTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme;
  byId("theme").setAttribute("aria-label", `Colour theme: ${theme === "auto" ? "automatic" : theme}`);
  localStorage.setItem("dhpe-theme", theme);
  changed = true;
}

function wire() {
  const themes = ["auto", "light", "dark"];
  chooseTheme(localStorage.getItem("dhpe-theme") ?? "auto");
  byId("theme").addEventListener("click", () =>
    chooseTheme(themes[(themes.indexOf(byId("theme").textContent) + 1) % themes.length]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { changed = true; });
  byId("underlying").addEventListener("change", (event) => {
    location.hash = encodeURIComponent(event.target.value);
    refreshList();
  });
  const badge = byId("quality");
  const bubble = (open) => { byId("reasons").hidden = !open; badge.setAttribute("aria-expanded", String(open)); };
  badge.addEventListener("click", (event) => { event.stopPropagation(); bubble(byId("reasons").hidden); });
  document.addEventListener("click", () => bubble(false));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") bubble(false); });
  byId("key").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("dhpe-key", byId("key-value").value);
    location.reload();
  });
}

build();
wire();
const drawings = {
  dials: [gauge(byId("gauge"))],
  charts: [amplificationChart(byId("chart"), alerts.marks),
    ...[...document.querySelectorAll("[data-spark]")].map((element) => sparkline(element, element.dataset.spark))],
};
setInterval(() => redraw(drawings), REDRAW_MS);
setInterval(() => { if (heard) refreshList(); }, LIST_MS);
if (await firstRecord()) await refreshList();
