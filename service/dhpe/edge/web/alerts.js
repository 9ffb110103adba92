// The list of alerts: newest first, the evidence on request.
import { clock, instant, interval, significant, words } from "/web/format.js";

const SHOWN = 100;
const SEVERITIES = ["info", "warning", "critical"];
const list = document.getElementById("alerts");

function cell(name, text, scope) {
  const element = document.createElement(name);
  element.textContent = text;
  if (scope) element.scope = scope;
  return element;
}

function evidence(alert) {
  const box = document.createElement("div");
  box.className = "evidence";
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.append(cell("th", "evidence", "col"), cell("th", "value", "col"), cell("th", "threshold", "col"));
  const body = table.createTBody();
  for (const name of new Set([...Object.keys(alert.evidence), ...Object.keys(alert.thresholds)])) {
    const row = body.insertRow();
    row.append(
      cell("th", words(name), "row"),
      cell("td", significant(alert.evidence[name] ?? null, 4)),
      cell("td", name in alert.thresholds ? significant(alert.thresholds[name], 4) : ""),
    );
  }
  const headline = [
    ["amplification, ×", `${significant(alert.amplification, 4)} (${interval(alert.amplification_low, alert.amplification_high, 3)})`],
    ["feedback gain, no unit", significant(alert.feedback_gain, 4)],
    ["spot, in its currency", significant(alert.spot, 6)],
  ];
  for (const [name, text] of headline) body.insertRow().append(cell("th", name, "row"), cell("td", text), cell("td", ""));
  const origin = document.createElement("p");
  const code = document.createElement("code");
  code.textContent = alert.id;
  origin.append(`${instant(alert.ts_event_ns)} UTC, event time. Id `, code);
  box.append(table, origin);
  return box;
}

function item(alert) {
  const element = document.createElement("li");
  element.dataset.id = alert.id;
  element.dataset.severity = alert.severity;
  element.dataset.rule = alert.rule;
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const time = cell("time", clock(alert.ts_event_ns));
  time.dateTime = `${instant(alert.ts_event_ns)}Z`;
  const change = cell("span", alert.from_state === alert.to_state
    ? words(alert.rule) : `${words(alert.from_state)} → ${words(alert.to_state)}`);
  change.className = "change";
  const why = cell("span", alert.reason);
  why.className = "why";
  button.append(time, change, why);
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    if (open) element.append(evidence(alert));
    else element.querySelector(".evidence").remove();
  });
  element.append(button);
  return element;
}

export function alertBook() {
  let known = new Map();
  const count = () => {
    document.getElementById("alerts-count").textContent = known.size ? `${known.size} so far` : "";
    document.getElementById("alerts-none").hidden = known.size > 0;
  };
  return {
    clear() { known = new Map(); list.replaceChildren(); count(); },
    // `fresh`: it has just happened, so it is announced and shown arriving; even where the past, asked for at the same
    // moment, has brought it already.
    add(alert, fresh) {
      if (fresh) document.getElementById("announcement").textContent = `Alert: ${alert.reason}`;
      if (known.has(alert.id)) return;
      known.set(alert.id, alert);
      const element = item(alert);
      list.prepend(element);
      while (list.childElementCount > SHOWN) {
        known.delete(list.lastElementChild.dataset.id);
        list.lastElementChild.remove();
      }
      if (fresh) element.classList.add("new");
      count();
    },
    // In the order of drawing: what matters most lies on top.
    marks: () => [...known.values()].map((alert) => ({ at: alert.ts_event_ns / 1e9, severity: alert.severity }))
      .sort((one, other) => SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity)),
    // When each state was last entered, event time.
    entered: () => new Map([...known.values()].filter((alert) => alert.rule === alert.to_state)
      .map((alert) => [alert.to_state, alert.ts_event_ns])),
  };
}
