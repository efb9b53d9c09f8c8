"use strict";
const tip = document.getElementById("tip");

/** Shows a text beside a place on the screen. */
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`;
  tip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 16}px`;
}

function hideTip() {
  tip.hidden = true;
}

/** Copies a text. Pages opened from a file may lack the clipboard of pages from a server. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function centerOf(element) {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

async function copyAndTell(text, element) {
  await copy(text);
  showTip(`Copied: ${text}`, ...centerOf(element));
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", () => copyAndTell(button.dataset.copy, button));
  button.addEventListener("blur", hideTip);
  button.addEventListener("pointerleave", hideTip);
}

// Partitions: one cell of a table can be reached with Tab, the others from it with the arrow keys.
for (const heat of document.querySelectorAll(".heat")) {
  const cellOf = (event) => event.target.closest("[data-partition]");
  const describe = (cell, x, y) => showTip(cell.getAttribute("aria-label"), x, y);
  heat.addEventListener("pointerover", (event) => {
    const cell = cellOf(event);
    if (cell) describe(cell, event.clientX, event.clientY);
  });
  heat.addEventListener("pointerout", hideTip);
  heat.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (cell?.matches(":focus-visible")) describe(cell, ...centerOf(cell));
  });
  heat.addEventListener("focusout", hideTip);
  // Where nothing can be hovered over, the first tap tells what is known of a cell.
  let told = null;
  heat.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    if (event.pointerType === "touch" && told !== cell) {
      told = cell;
      describe(cell, ...centerOf(cell));
    } else {
      copyAndTell(heat.dataset.command.replace("PARTITION", cell.dataset.partition), cell);
    }
  });
  for (const table of heat.querySelectorAll("table")) {
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1).map((cell) => cell.firstElementChild));
    table.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const cell = cellOf(event);
      if (!step || !cell) return;
      event.preventDefault();
      let row = rows.findIndex((cells) => cells.includes(cell));
      let column = rows[row].indexOf(cell);
      let next;
      do {
        [row, column] = [row + step[0], column + step[1]];
        next = rows[row]?.[column];
      } while (next === null);
      if (!next) return;
      [cell.tabIndex, next.tabIndex] = [-1, 0];
      next.focus();
    });
  }
}

// Charts: the values of the year nearest to the pointer, or of the one that the arrow keys select.
for (const figure of document.querySelectorAll(".chart")) {
  const svg = figure.querySelector("svg");
  const cursor = svg.querySelector(".cursor");
  const data = JSON.parse(figure.querySelector("script").textContent);
  let index = data.years.length - 1;
  const show = (x, y) => {
    const number = (value) => (value === null ? "no data" : value.toLocaleString("en-US"));
    const lines = data.lines.map((name, line) => `${name}: ${number(data.values[line][index])}`);
    cursor.setAttribute("transform", `translate(${data.xs[index]} 0)`);
    cursor.setAttribute("visibility", "visible");
    showTip([`${data.years[index]}, ${data.unit}`, ...lines].join("\n"), x, y);
  };
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    hideTip();
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const distances = data.xs.map((at) => Math.abs(at - x));
    index = distances.indexOf(Math.min(...distances));
    show(event.clientX, event.clientY);
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("click", follow);
  svg.addEventListener("focus", () => svg.matches(":focus-visible") && show(...centerOf(svg)));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    index = Math.max(0, Math.min(data.years.length - 1, index + step));
    show(...centerOf(svg));
  });
}

// The map: the year of the slider.
for (const figure of document.querySelectorAll(".map")) {
  const tiles = [...figure.querySelectorAll(".tile")];
  const slider = figure.querySelector("input");
  const data = JSON.parse(figure.querySelector("script").textContent);
  slider.addEventListener("input", () => {
    figure.querySelector("output").textContent = data.years[slider.value];
    tiles.forEach((tile, index) => {
      const [number, shade] = data.tiles[index][slider.value];
      tile.setAttribute("class", `tile shade-${shade}`);
      tile.setAttribute("aria-label", `${data.names[index]}: ${number}`);
    });
  });
  for (const tile of tiles) {
    const tell = (event) => showTip(tile.getAttribute("aria-label"), event.clientX, event.clientY);
    tile.addEventListener("pointermove", tell);
    tile.addEventListener("click", tell);
    tile.addEventListener("pointerleave", hideTip);
  }
}

// Shares of codes: all of them, or one.
for (const choice of document.querySelectorAll(".shares-of")) {
  choice.addEventListener("change", (event) => {
    for (const cell of choice.parentElement.querySelectorAll("[data-shares]")) {
      const [share, shade] = cell.dataset.shares.split(" ")[event.target.value].split("/");
      cell.textContent = share;
      cell.className = `s${shade}`;
    }
  });
}

// A link to a dataset opens its section.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", openTarget);
addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
openTarget();
