/* Renews what a page shows from the JSON at its own address: elements with data-value, and tables with data-rows whose
   headings say in data-field what stands below them. */
"use strict";

const PAUSE = 2000;
const notice = document.getElementById("notice");
const token = document.getElementById("token");

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (value === true) return "yes";
  if (value === false) return "no";
  return Array.isArray(value) ? value.join("; ") : String(value);
}

function row(cells) {
  const line = document.createElement("tr");
  for (const value of cells) line.insertCell().textContent = shown(value);
  return line;
}

function fill(table, objects) {
  const fields = [...table.querySelectorAll("th[data-field]")].map(heading => heading.dataset.field);
  const lines = objects.map(object => row(fields.map(field => object[field])));
  const none = row(["none"]);
  none.cells[0].colSpan = fields.length;
  table.tBodies[0].replaceChildren(...(lines.length ? lines : [none]));
}

async function renew() {
  const headers = token.value ? { Authorization: "Bearer " + token.value } : {};
  const answer = await fetch("?format=json", { headers, cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status === 403 ? "this is not the token of authors" : "status " + answer.status);
  const state = await answer.json();
  for (const element of document.querySelectorAll("[data-value]")) element.textContent = shown(state[element.dataset.value]);
  for (const table of document.querySelectorAll("table[data-rows]")) fill(table, state[table.dataset.rows]);
}

async function follow() {
  try {
    await renew();
    notice.textContent = "Renewed every two seconds.";
  } catch (error) {
    notice.textContent = "Not renewed: " + error.message + ". What is shown may be old.";
  }
  setTimeout(follow, PAUSE);
}

setTimeout(follow, PAUSE);
