"use strict";
// Sorting, filtering and the theme. Without it the page shows everything, in the order of the files.

function key(row, column, numeric) {
  const cell = row.cells[column];
  if (cell.dataset.s !== undefined) return Number(cell.dataset.s);
  const value = numeric ? Number.parseFloat(cell.textContent.replace("±", "")) : NaN;
  return Number.isNaN(value) ? cell.textContent : value;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

function sort(table, heading) {
  const descends = heading.getAttribute("aria-sort") === "none" ? heading.classList.contains("n")
    : heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentNode.cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descends ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [key(row, heading.cellIndex, heading.classList.contains("n")), row]);
  const known = rows.filter(([value]) => value !== "–").sort((a, b) => (descends ? -1 : 1) * compare(a[0], b[0]));
  const unknown = rows.filter(([value]) => value === "–"); // always last
  body.append(...[...known, ...unknown].map(([, row]) => row));
}

function filter(table, form) {
  const words = form.elements.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const minor = !form.elements.minor || form.elements.minor.checked;
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = (!minor && row.classList.contains("minor")) || !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  form.querySelector("output").textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
}

for (const box of document.querySelectorAll(".table")) {
  const table = box.querySelector("table");
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading));
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
  }
  const form = box.querySelector("form");
  if (form) {
    form.hidden = false;
    form.addEventListener("input", () => filter(table, form));
    form.addEventListener("submit", (event) => event.preventDefault());
    filter(table, form);
  }
}

const root = document.documentElement;
const toggle = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
}

function nameToggle() {
  toggle.textContent = isDark() ? "Light theme" : "Dark theme";
}

toggle.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameToggle();
});
system.addEventListener("change", nameToggle);
toggle.hidden = false;
nameToggle();
