"use strict";
// Sorts the rows of the table by a click on a heading, and reverses them by another one.
const table = document.querySelector(".compared");
const rows = table.tBodies[0].rows;
const heads = [...table.tHead.rows[0].cells];

function sort(column) {
  const value = (row) => row.cells[column].dataset.value;
  const numeric = [...rows].every((row) => !Number.isNaN(Number(value(row))));
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  const order = (a, b) => {
    if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
    const more = numeric ? value(a) - value(b) : value(a).localeCompare(value(b), "en", { numeric: true });
    return down ? -more : more;
  };
  table.tBodies[0].append(...[...rows].sort(order));
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
}

heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(column));
  head.append(button);
});
document.querySelector("#sortable").hidden = false;
