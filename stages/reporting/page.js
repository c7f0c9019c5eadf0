// Tables sort by the column whose heading is pressed: up first, then down. The first column restores the order given.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const headings = [...table.tHead.rows[0].cells];
  const rows = () => [...table.tBodies[0].rows];
  rows().forEach((row, place) => { row.cells[0].dataset.value = place; });
  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    return text === undefined ? NaN : Number(text);
  };
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = rows().sort((first, second) => {
        const [a, b] = [value(first, column), value(second, column)];
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return down ? b - a : a - b;
      });
      table.tBodies[0].append(...sorted);
    });
  });
}
// What scrolls sideways can be reached, and scrolled, by the keyboard.
const reachable = () => {
  for (const figure of document.querySelectorAll("figure")) {
    if (figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
    else figure.removeAttribute("tabindex");
  }
};
addEventListener("resize", reachable);
addEventListener("toggle", reachable, true);
reachable();
