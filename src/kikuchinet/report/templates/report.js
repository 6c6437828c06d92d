"use strict";
// The page without this script is whole: tables, bars and pictures. The script adds the map on which points are chosen.

const data = JSON.parse(document.getElementById("data").textContent);
const NOTHING = 255;
const EMPTY = 254;
const NO_GRAIN = 0xffffffff;
const element = (id) => document.getElementById(id);

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function numbers(text, size) {
  // Little-endian whatever the machine is.
  const raw = bytes(text);
  const view = new DataView(raw.buffer);
  const read = size === 2 ? (at) => view.getUint16(at, true) : (at) => view.getUint32(at, true);
  return Array.from({ length: raw.length / size }, (_, i) => read(i * size));
}

function percent(value) {
  if (value >= 0.9995) return "> 99.9\u00a0%";
  if (value < 0.0005) return "< 0.1\u00a0%";
  return `${(100 * value).toFixed(1)}\u00a0%`;
}

function unpacked(grid) {
  return {
    ...grid,
    group: bytes(grid.group),
    leading: bytes(grid.leading),
    probability: numbers(grid.probability, 2),
    quality: bytes(grid.quality),
    reason: bytes(grid.reason),
    index: numbers(grid.index, 4),
    spoken: grid.spoken ? bytes(grid.spoken) : null,
    grain: grid.grain ? numbers(grid.grain, 4) : null,
    grain_group: grid.grain_group ? bytes(grid.grain_group) : null,
    grain_probability: grid.grain_probability ? numbers(grid.grain_probability, 2) : null,
    pictured: Object.keys(grid.pictures).map(Number).sort((a, b) => a - b),
  };
}

const ramps = Object.fromEntries(Object.entries(data.ramps).map(([name, text]) => [name, bytes(text)]));
const classColours = data.classes.map((item) => [1, 3, 5].map((at) => parseInt(item.colour.slice(at, at + 2), 16)));

const groupLayer = (name) => ({ colour: (grid, i) => classColours[grid[name][i]] || null, legend: (grid) => groupLegend(grid[name]) });
const LAYERS = {
  "Space group": { needs: "group", ...groupLayer("group") },
  "Space group of the grain": { needs: "grain_group", ...groupLayer("grain_group") },
  "Probability": {
    needs: "probability",
    colour: (grid, i) => ramp("cividis", grid.probability[i * grid.kept] / 65535),
    legend: () => rampLegend("cividis", "0\u00a0%", "100\u00a0%", "probability of the likeliest group"),
  },
  "Quality": {
    needs: "quality",
    colour: (grid, i) => ramp("gray", grid.quality[i] / 255),
    legend: (grid) => rampLegend("gray", ...grid.quality_range.map((v) => v.toFixed(2)), "sharpness of the bands"),
  },
};

let grid = null;
let layer = "Space group";
let place = 0;
let zoom = 1;

function ramp(name, value) {
  const at = 3 * Math.round(255 * Math.min(Math.max(value, 0), 1));
  return ramps[name].subarray(at, at + 3);
}

function tag(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

// Number 0 is what lies outside the model's groups: it has a name and no number.
function named(item, before, after) {
  return item.number ? `${item.symbol}${before}${item.number}${after}` : item.symbol;
}

function symbol(code) {
  return element(`group-${data.classes[code].number}`).content.cloneNode(true);
}

// --- the map ---------------------------------------------------------------------------------------------------------

function draw() {
  const canvas = element("canvas");
  canvas.width = grid.columns;
  canvas.height = grid.rows;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(grid.columns, grid.rows);
  for (let i = 0; i < grid.group.length; i += 1) {
    if (grid.group[i] === EMPTY) continue;
    const colour = LAYERS[layer].colour(grid, i);
    if (colour) picture.data.set([colour[0], colour[1], colour[2], 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  element("legend").replaceChildren(...LAYERS[layer].legend(grid));
  drawDots();
}

function drawDots() {
  const dots = element("dots");
  const box = element("stage").getBoundingClientRect();
  dots.width = Math.round(box.width);
  dots.height = Math.round(box.height);
  const context = dots.getContext("2d");
  if (!element("marks").checked || grid.pictured.length === cells()) return;
  const width = dots.width / grid.columns;
  const height = dots.height / grid.rows;
  const radius = Math.max(2, Math.min(4, Math.min(width, height) / 4));
  context.lineWidth = 1.5;
  for (const at of grid.pictured) {
    context.beginPath();
    context.arc((at % grid.columns + 0.5) * width, (Math.floor(at / grid.columns) + 0.5) * height, radius, 0, 7);
    context.fillStyle = "#fff";
    context.fill();
    context.strokeStyle = "#000";
    context.stroke();
  }
}

function cells() {
  return grid.group.reduce((sum, code) => sum + (code !== EMPTY), 0);
}

function groupLegend(codes) {
  const counts = new Map();
  for (const code of codes) if (code !== EMPTY) counts.set(code, (counts.get(code) || 0) + 1);
  const total = [...counts.values()].reduce((a, b) => a + b, 0);
  const order = [...counts].sort((a, b) => (a[0] === NOTHING) - (b[0] === NOTHING) || b[1] - a[1]);
  const list = tag("ul", "", "swatches");
  for (const [code, count] of order.slice(0, 12)) {
    const item = tag("li");
    const swatch = tag("span", "", code === NOTHING ? "swatch nothing" : "swatch");
    if (code !== NOTHING) swatch.style.background = data.classes[code].colour;
    item.append(swatch, code === NOTHING ? "no answer" : symbol(code), ` ${percent(count / total)}`);
    list.append(item);
  }
  if (order.length > 12) list.append(tag("li", `and ${order.length - 12} more groups`));
  return [list];
}

function rampLegend(name, low, high, what) {
  const bar = tag("span", "", "ramp");
  const stops = [0, 0.25, 0.5, 0.75, 1].map((v) => `rgb(${ramp(name, v).join(",")})`);
  bar.style.background = `linear-gradient(90deg, ${stops.join(",")})`;
  const line = tag("p", "", "small");
  line.append(`${low} `, bar, ` ${high}: ${what}`);
  return [line];
}

function resize() {
  const stage = element("stage");
  const aspect = (grid.rows * grid.aspect) / grid.columns;
  const widest = Math.min(element("window").clientWidth, 560, 560 / aspect);
  stage.style.width = `${Math.max(widest, 40) * zoom}px`;
  stage.style.aspectRatio = `${1 / aspect}`;
}

// --- one point -------------------------------------------------------------------------------------------------------

function where(at) {
  const row = Math.floor(at / grid.columns);
  const column = at % grid.columns;
  if (!grid.scan) return `Pattern ${grid.index[at]}`;
  return `Row ${grid.row_numbers[row]}, column ${grid.column_numbers[column]}`;
}

function answer(at) {
  const code = grid.group[at];
  const best = data.classes[grid.leading[at * grid.kept]];
  const value = percent(grid.probability[at * grid.kept] / 65535);
  if (code === NOTHING) return `no answer (${grid.reasons[grid.reason[at]] || "not sure"})`;
  return `${named(best, ", number ", "")}, ${value}`;
}

// The grid holds only the cell of the chosen point: a scan has a hundred thousand. A new cell takes the focus before the old
// one goes, so the keyboard never falls out of the map (roving tabindex).
function setCell(focus) {
  const holder = element("grid");
  const row = Math.floor(place / grid.columns);
  const column = place % grid.columns;
  const line = tag("div");
  line.setAttribute("role", "row");
  line.setAttribute("aria-rowindex", row + 1);
  const cell = tag("div", "", "cell");
  cell.setAttribute("role", "gridcell");
  cell.setAttribute("aria-colindex", column + 1);
  cell.setAttribute("aria-selected", "true");
  cell.setAttribute("aria-label", where(place));
  cell.tabIndex = 0;
  cell.style.left = `${(100 * column) / grid.columns}%`;
  cell.style.top = `${(100 * row) / grid.rows}%`;
  cell.style.width = `${100 / grid.columns}%`;
  cell.style.height = `${100 / grid.rows}%`;
  line.append(cell);
  holder.append(line);
  if (focus) cell.focus({ preventScroll: zoom === 1 });
  while (holder.firstChild !== line) holder.firstChild.remove();
}

function choose(at, focus = true) {
  if (at < 0 || at >= grid.group.length || grid.group[at] === EMPTY) return;
  place = at;
  setCell(focus);
  element("chosen-title").textContent = where(at) + (grid.names ? `: ${grid.names[at]}` : "");
  const said = element("chosen-answer");
  if (grid.group[at] === NOTHING) said.replaceChildren(answer(at));
  else said.replaceChildren(symbol(grid.group[at]), ` ${percent(grid.probability[at * grid.kept] / 65535)}`);
  element("chosen-bars").replaceChildren(...bars(at));
  element("chosen-facts").replaceChildren(...facts(at));
  showPictures(at);
  // A reader hears each point once, not each one passed on the way.
  clearTimeout(choose.timer);
  choose.timer = setTimeout(() => { element("live").textContent = `${where(at)}: ${answer(at)}`; }, 250);
}

function bars(at) {
  const made = [];
  let rest = 1;
  for (let k = 0; k < grid.kept; k += 1) {
    const value = grid.probability[at * grid.kept + k] / 65535;
    rest -= value;
    const label = tag("span", "", "label");
    label.append(symbol(grid.leading[at * grid.kept + k]));
    made.push(bar(label, value, k === 0));
  }
  if (data.classes.length > grid.kept) made.push(bar(tag("span", `${data.classes.length - grid.kept} others`, "label"), Math.max(rest, 0), false));
  return made;
}

function bar(label, value, best) {
  const meter = tag("div", "", best ? "meter best" : "meter");
  const track = tag("span", "", "track");
  track.setAttribute("aria-hidden", "true");
  const fill = tag("span", "", "fill");
  fill.style.width = `${100 * value}%`;
  track.append(fill);
  meter.append(label, track, tag("span", percent(value), "value"));
  return meter;
}

function facts(at) {
  const [low, high] = grid.quality_range;
  const pairs = [["Quality", (low + ((high - low) * grid.quality[at]) / 255).toFixed(2)]];
  if (grid.grain && grid.grain[at] !== NO_GRAIN && data.classes[grid.grain_group[at]]) {
    const group = data.classes[grid.grain_group[at]];
    pairs.push([`Grain ${grid.grain[at]}`, `${named(group, " (", ")")}, ${percent(grid.grain_probability[at] / 65535)}`]);
  }
  return pairs.flatMap(([name, value]) => [tag("dt", name), tag("dd", value)]);
}

const CAPTIONS = { recorded: "as recorded", seen: "as the network sees it", measured: "as it is compared" };

function showPictures(at) {
  const row = at in grid.pictures ? document.querySelector(`tr[data-pattern="${grid.pictures[at]}"]`) : null;
  const holder = element("chosen-pictures");
  holder.replaceChildren();
  element("chosen-none").hidden = row !== null;
  if (!row) {
    element("chosen-command").textContent = command(at);
    return;
  }
  const find = (kind) => row.querySelector(`img[data-kind="${kind}"]`);
  for (const kind of ["recorded", "seen", "heat", "measured", "simulated"]) {
    const image = find(kind);
    if (!image) continue;
    const figure = tag("figure");
    const over = image.closest(".over");
    figure.append((over || image).cloneNode(true), tag("figcaption", CAPTIONS[kind] || ""));
    if (kind === "heat") figure.lastChild.append("Grad-CAM, ", ...Array.from(over.nextElementSibling.childNodes, (node) => node.cloneNode(true)));
    if (kind === "simulated") figure.lastChild.textContent = image.alt;
    holder.append(figure);
  }
  if (!holder.children.length) holder.append(tag("p", row.querySelector("td").textContent));
}

function command(at) {
  if (!grid.scan) return grid.commands ? grid.commands[at] : `${grid.python}[${grid.index[at]}]`;
  const row = grid.row_numbers[Math.floor(at / grid.columns)];
  const column = grid.column_numbers[at % grid.columns];
  const read = grid.band_command && (!grid.spoken || grid.spoken[at]);
  return `${read ? grid.band_command : grid.command} --roi ${row}:${row + 1},${column}:${column + 1}`;
}

// --- keys, mouse, choices --------------------------------------------------------------------------------------------

function onKey(event) {
  const row = Math.floor(place / grid.columns);
  const column = place % grid.columns;
  const last = { row: grid.rows - 1, column: grid.columns - 1 };
  const far = event.ctrlKey || event.metaKey;
  const moves = {
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    Home: far ? [0, 0] : [row, 0],
    End: far ? [last.row, last.column] : [row, last.column],
    PageUp: [Math.max(row - 10, 0), column],
    PageDown: [Math.min(row + 10, last.row), column],
  };
  const move = moves[event.key];
  if (!move || event.altKey) return;
  event.preventDefault();
  const [r, c] = move;
  if (r < 0 || c < 0 || r > last.row || c > last.column) return;
  let at = r * grid.columns + c;
  // The last row of patterns that are no scan may be short.
  while (event.key !== "ArrowDown" && grid.group[at] === EMPTY) at -= 1;
  choose(at);
}

function onClick(event) {
  const box = element("stage").getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * grid.columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * grid.rows);
  if (column >= 0 && row >= 0 && column < grid.columns && row < grid.rows) choose(row * grid.columns + column);
}

function step(direction) {
  const list = grid.pictured;
  if (!list.length) return;
  const beyond = direction > 0 ? list.find((at) => at > place) : list.findLast((at) => at < place);
  choose(beyond ?? (direction > 0 ? list[0] : list[list.length - 1]), false);
}

function setZoom(value) {
  zoom = Math.min(Math.max(value, 1), 16);
  resize();
  drawDots();
  element("grid").querySelector(".cell").scrollIntoView({ block: "nearest", inline: "nearest" });
}

function setGrid(number) {
  grid = unpacked(data.grids[number]);
  const names = Object.keys(LAYERS).filter((name) => grid[LAYERS[name].needs]);
  if (!names.includes(layer)) layer = "Space group";
  element("layers").replaceChildren(...names.map((name) => {
    const label = tag("label");
    const input = tag("input");
    Object.assign(input, { type: "radio", name: "layer", value: name, checked: name === layer });
    input.addEventListener("change", () => { layer = name; draw(); });
    label.append(input, ` ${name}`);
    return label;
  }));
  element("grid").setAttribute("aria-rowcount", grid.rows);
  element("grid").setAttribute("aria-colcount", grid.columns);
  const notes = [];
  if (!grid.scan) notes.push("These patterns are no map: they stand row by row in input order.");
  if (data.stride > 1) notes.push(`To keep the page small, the map shows every ${data.stride}th row and column.`);
  element("grid-note").textContent = notes.join(" ");
  for (const id of ["previous", "next"]) element(id).hidden = grid.pictured.length === 0;
  element("explore").hidden = false;
  zoom = 1;
  resize();
  draw();
  choose(grid.pictured[0] ?? 0, false);
}

function start() {
  if (data.grids.length > 1) {
    element("source-choice").hidden = false;
    data.grids.forEach((item, i) => element("source").append(new Option(item.name, i)));
    element("source").addEventListener("change", (event) => setGrid(Number(event.target.value)));
  }
  element("stage").addEventListener("click", onClick);
  element("grid").addEventListener("keydown", onKey);
  element("marks").addEventListener("change", drawDots);
  element("next").addEventListener("click", () => step(1));
  element("previous").addEventListener("click", () => step(-1));
  element("larger").addEventListener("click", () => setZoom(zoom * 2));
  element("smaller").addEventListener("click", () => setZoom(zoom / 2));
  element("choices").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("resize", () => { resize(); drawDots(); });
  setGrid(0);
}

start();
