"use strict";
// Tables: a click on a header sorts by its column, another the other way round.
for (const table of document.querySelectorAll("table")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const key = row => {
        const cell = row.cells[column];
        return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
      };
      const order = (a, b) => {
        const x = key(a), y = key(b);
        return typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      };
      const rows = [...body.rows].sort(order);
      if (down) rows.reverse();
      body.append(...rows);
    });
  });
}
// Marks of a picture: it is one stop of the tab key, and arrow keys go from mark to mark; each tells its title.
const tip = document.getElementById("tip");
function show(mark) {
  const box = mark.getBoundingClientRect();
  tip.textContent = mark.getAttribute("aria-label");
  tip.hidden = false;
  const room = tip.getBoundingClientRect();
  const x = Math.min(Math.max(4, box.left + box.width / 2 - room.width / 2), document.documentElement.clientWidth - room.width - 4);
  const above = box.top - room.height - 6;
  tip.style.left = `${x}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 6}px`;
}
function hide() { tip.hidden = true; }
for (const picture of document.querySelectorAll("figure svg")) {
  const marks = [...picture.querySelectorAll(".mark")];
  marks.forEach((mark, place) => {
    const title = mark.querySelector("title");
    mark.setAttribute("aria-label", title.textContent);
    mark.setAttribute("role", "img");
    title.remove();
    mark.setAttribute("tabindex", place === 0 ? "0" : "-1");
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
    mark.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (step === undefined) return;
      event.preventDefault();
      const next = marks[(place + step + marks.length) % marks.length];
      mark.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}
// Folded pictures are printed too; folded tables, which run to many pages, only where they are open.
const folded = [...document.querySelectorAll("details:has(figure)")];
let closed = [];
addEventListener("beforeprint", () => { closed = folded.filter(part => !part.open); for (const part of closed) part.open = true; });
addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
addEventListener("scroll", hide, { passive: true });
