"use strict";
(() => {
  const number = (text) => Number.parseFloat(text.replaceAll(",", "")) || 0;

  // Theme: the system's, until the button is pressed.
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  });

  // Tables sort by a click or the Enter key on a heading; numbers the largest first.
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    for (const heading of headings) {
      const kind = heading.dataset.kind;
      if (!kind) continue;
      const column = heading.cellIndex;
      const sort = () => {
        const before = heading.getAttribute("aria-sort");
        const ascending = before ? before === "descending" : kind === "text";
        const key = (row) => (kind === "number" ? number(row.cells[column].textContent) : row.cells[column].textContent);
        const compare = (a, b) => (kind === "number" ? a.key - b.key : a.key.localeCompare(b.key, "en", { numeric: true }));
        const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row) }));
        rows.sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
        table.tBodies[0].append(...rows.map(({ row }) => row));
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      };
      heading.tabIndex = 0;
      heading.addEventListener("click", sort);
      heading.addEventListener("keydown", (event) => event.key === "Enter" && sort());
    }
  }

  // Every word typed must stand in the line.
  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    const counter = document.querySelector(`[data-counts="${table.id}"]`);
    const all = counter.textContent;
    const lines = [...table.tBodies[0].rows].map((row) => ({
      row,
      text: [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase(),
    }));
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { row, text } of lines) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      counter.textContent = words.length ? `${shown} of ${lines.length} lines` : all;
    });
  }

  // Groups: of one volume, in another order.
  const list = document.getElementById("group-list");
  const groups = [...list.children];
  const volume = document.getElementById("group-volume");
  const order = document.getElementById("group-order");
  const volumes = [...new Set(groups.map((group) => Number(group.dataset.volume)))].sort((a, b) => a - b);
  volume.append(...volumes.map((value) => new Option(value, value)));
  volume.addEventListener("change", () => {
    for (const group of groups) group.hidden = volume.value !== "" && group.dataset.volume !== volume.value;
    const shown = groups.filter((group) => !group.hidden).length;
    document.getElementById("group-count").textContent = `${shown} group${shown === 1 ? "" : "s"}`;
  });
  const orders = {
    row: (a, b) => a.dataset.row - b.dataset.row,
    covered: (a, b) => b.dataset.covered - a.dataset.covered,
    "-covered": (a, b) => a.dataset.covered - b.dataset.covered,
    spread: (a, b) => b.dataset.spread - a.dataset.spread,
  };
  order.addEventListener("change", () => list.append(...[...groups].sort(orders[order.value])));

  // Paper cannot be clicked: the first groups are open there.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...list.children].filter((group) => !group.hidden && !group.open).slice(0, 12);
    for (const group of opened) group.open = true;
    // Pictures that were out of sight so far would be missing.
    for (const image of document.images) image.loading = "eager";
  });
  addEventListener("afterprint", () => {
    for (const group of opened) group.open = false;
  });
})();
