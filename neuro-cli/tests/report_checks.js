// Runs inside the report: works its tables and pictures as a reader would, and tells the page around it the verdict.
const check = (fine, what) => { if (!fine) window.faults.push(what); };
for (const part of document.querySelectorAll("details")) part.open = true;

const root = document.documentElement;
check(root.scrollWidth <= innerWidth, `the page is ${root.scrollWidth} px wide in ${innerWidth}`);
check(performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:")).length === 0, "something was fetched");

const tables = document.querySelectorAll("table");
for (const table of tables) {
  const name = table.getAttribute("aria-label");
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    for (const direction of ["ascending", "descending"]) {
      header.querySelector("button").click();
      check(header.getAttribute("aria-sort") === direction, `${name}: column ${column} is not ${direction}`);
      const cells = [...table.tBodies[0].rows].map(row => row.cells[column]);
      const pairs = cells.slice(1).map((cell, i) => [cells[i], cell]);
      const sign = direction === "ascending" ? 1 : -1;
      const ordered = pairs.every(([a, b]) => a.dataset.key !== undefined
        ? sign * (Number(b.dataset.key) - Number(a.dataset.key)) >= 0
        : sign * b.textContent.localeCompare(a.textContent, "en", { numeric: true }) >= 0);
      check(ordered, `${name}: column ${column} is not in order`);
    }
  });
}

const pictures = document.querySelectorAll("figure svg");
for (const picture of pictures) {
  const name = picture.getAttribute("aria-label");
  const box = picture.getBoundingClientRect();
  check(box.width > 100 && box.height > 50 && box.right <= innerWidth + 1, `${name}: ${box.width} × ${box.height} px`);
  const text = picture.querySelector("text");
  check(text && getComputedStyle(text).userSelect !== "none", `${name}: its text cannot be selected`);
  const marks = picture.querySelectorAll(".mark");
  if (marks.length < 2) continue;
  const stops = [...marks].filter(mark => mark.tabIndex === 0);
  check(stops.length === 1, `${name}: ${stops.length} stops of the tab key`);
  const tip = document.getElementById("tip");
  const says = mark => !tip.hidden && tip.textContent === mark.getAttribute("aria-label") && tip.textContent.length > 2;
  marks[0].focus();
  check(says(marks[0]), `${name}: no tip on focus`);
  marks[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  check(document.activeElement === marks[1] && says(marks[1]), `${name}: the arrow key does not go on`);
  marks[1].dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  check(tip.hidden, `${name}: the tip stays`);
}
for (const link of document.querySelectorAll("nav a")) check(document.querySelector(link.getAttribute("href")), `${link.href} leads nowhere`);

const [red] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
parent.postMessage(JSON.stringify({
  faults: window.faults, width: innerWidth, dark: red < 128, tables: tables.length, pictures: pictures.length,
}), "*");
