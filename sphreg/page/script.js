"use strict";
// A click on a heading sorts the rows by that column; another click turns them round. Empty cells stay last.
const number = (text) => parseFloat(text.replace(/^[<≈±]?\s*/, "").replaceAll(",", ""));
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      const numeric = heading.classList.contains("number");
      const compare = ([, a], [, b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = numeric ? number(a) - number(b) : a.localeCompare(b, "en", { numeric: true });
        return up ? order : -order;
      };
      const rows = [...table.tBodies[0].rows].map((row) => [row, row.cells[column].textContent.trim()]);
      table.tBodies[0].append(...rows.sort(compare).map(([row]) => row));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}
// What is wider than the window can be scrolled by the keys, too.
const scrolls = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(".scroll").forEach((element) => scrolls.observe(element));
// Print what is folded, too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
