// The numbers of the panel as tables, for those who do not see the pictures or want to copy them.
import { UNKNOWN, clock, fixed, money, price } from "/web/format.js";

// `rows` begin with their heading; a number stands as the API says it beside how people read it.
function table(caption, heads, rows) {
  const element = document.createElement("table");
  element.createCaption().textContent = caption;
  const cell = (name, scope, text) => Object.assign(document.createElement(name), { scope, textContent: text });
  element.createTHead().insertRow().append(...heads.map((text) => cell("th", "col", text)));
  const body = element.createTBody();
  for (const [head, ...values] of rows) {
    body.insertRow().append(cell("th", "row", head), ...values.map((value) => {
      const data = Object.assign(document.createElement("data"), { value, textContent: Number.isFinite(value) ? money(value) : UNKNOWN });
      const place = document.createElement("td");
      place.append(data);
      return place;
    }));
  }
  return element;
}

export function tables({ field, unit, book, defaultBook, sticky, otherSticky, profile, strikes, grid }) {
  const down = (rows) => rows.reverse(); // prices fall from row to row, as in the pictures
  return [
    table(`Re-priced profile: ${field}, ${unit}, ${book} book`, ["price", sticky, otherSticky],
      down(profile.prices.map((at, i) => [fixed(at, 2), profile.values[i], profile.others[i]]))),
    table(`To the settlement: ${field}, ${unit}, ${defaultBook} book, hours in UTC`, ["price", ...grid.instants.map(clock)],
      down(grid.seen.map((at, i) => [fixed(at, 2), ...grid.rows.map((row) => row[grid.from + i])]))),
    table(`By strike, at spot: ${field}, ${unit}, ${defaultBook} book`, ["strike", "calls", "puts"],
      down(strikes.prices.map((at, i) => [price(at), strikes.calls[i], strikes.puts[i]]))),
  ];
}
