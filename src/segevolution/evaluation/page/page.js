"use strict";
// A page of results works without this; it adds sorting by a click and a switch between light and dark.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const shown = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = shown() === "dark" ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  label();

  const narrow = window.matchMedia("(max-width: 62rem)");
  const contents = document.querySelector("#contents details");
  const fold = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();

  // Numbers by their full value; infinite ones are largest; cells without one stand last either way.
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent.trim();
    const value = cell.dataset.value;
    if (value === undefined) return null;
    return value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);
  };
  const compare = (one, other) =>
    typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one < other ? -1 : one > other ? 1 : 0;
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const control = document.createElement("button");
      control.type = "button";
      control.append(...head.childNodes);
      control.title = "Sort by this column";
      head.append(control);
      control.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        const numeric = head.classList.contains("number");
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [key(row, column, numeric), row]);
        rows.sort(([one], [other]) => {
          if (one === null || other === null) return (one === null) - (other === null);
          return down ? -compare(one, other) : compare(one, other);
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
})();
