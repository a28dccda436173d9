// Draws the map and answers to pointer, keyboard and controls. Follows
// weights.js in one script.

// ---- What is shown.

const state = {
  plane: null,
  scale: null,
  row: size - 1,      // selected
  column: 0,          // of the cursor, with `row` or `cursorRow`
  cursorRow: size - 1,
};
const cell = clamp(Math.floor(MAP_SIZE / size), MIN_CELL, MAX_CELL);
const extent = cell * size;
const weightOf = (row, column) => state.plane[offset(row) + column];

const weightText = (weight) =>
    weight === 0 ? "0" : String(Number(weight.toPrecision(3)));
const chunkName = (row) => row.end - row.first === 1
    ? `chunk ${row.first}` : `chunks ${row.first}-${row.end - 1}`;
const place = (row) =>
    `bytes ${number(row.begin_byte)} to ${number(row.end_byte)}`;
const fullText = (row) => row.is_whole ? row.text
    : `${row.text}…\n[the beginning of ${
        number(row.end_byte - row.begin_byte)} bytes]`;

function shortText(row) {
  const text = fullText(row).trim();
  if (text.length <= TIP_CHARACTERS) return text;
  // Not between the halves of a character.
  const cut = text.slice(0, TIP_CHARACTERS);
  return `${cut.replace(/[\ud800-\udbff]$/, "")}…`;
}

// ---- Drawing.

const canvas = element("cells");
const style = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function prepare(target, width, height) {
  const ratio = window.devicePixelRatio || 1;
  target.width = Math.round(width * ratio);
  target.height = Math.round(height * ratio);
  target.style.width = `${width}px`;
  target.style.height = `${height}px`;
  const context = target.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

function hatch(context, width, height) {
  context.fillStyle = style("--page");
  context.fillRect(0, 0, width, height);
  context.strokeStyle = style("--hatch");
  context.lineWidth = 2;
  context.beginPath();
  for (let x = -height; x < width; x += 9) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
}

function drawCells() {
  const image = new ImageData(size, size);
  for (let row = 0; row < size; ++row) {
    for (let column = 0; column < columns(row); ++column) {
      if (isBlank(row, column)) continue;
      const at = 4 * (row * size + column);
      image.data.set(colorAt(state.scale.position(
          row, column, weightOf(row, column))), at);
      image.data[at + 3] = 255;
    }
  }
  const small = document.createElement("canvas");
  small.width = small.height = size;
  small.getContext("2d").putImageData(image, 0, 0);
  const context = prepare(canvas, extent, extent);
  hatch(context, extent, extent);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, extent, extent);
}

function drawLegend() {
  const bar = element("legend-bar");
  const context = bar.getContext("2d");
  const image = new ImageData(bar.width, 1);
  for (let x = 0; x < bar.width; ++x) {
    image.data.set(colorAt(x / (bar.width - 1)), 4 * x);
    image.data[4 * x + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  element("legend-name").textContent = state.scale.name;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((position) => {
    const tick = document.createElement("span");
    tick.textContent = state.scale.tick(position);
    return tick;
  });
  element("legend-ticks").replaceChildren(...ticks);
  hatch(prepare(element("legend-unseen"), 26, 14), 26, 14);
  element("unseen-name").textContent = [
    data.causal ? "not seen: it comes later" : "",
    single ? "a chunk itself" : "",
  ].filter(Boolean).join(", or ");
  element("legend-unseen").parentElement.hidden = !data.causal && !single;
}

function svgNode(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  if (text !== undefined) node.textContent = text;
  return node;
}

const fit = (text, length) => {
  const characters = [...text];
  return characters.length <= length
      ? text : characters.slice(0, length - 1).join("") + "…";
};

function drawAxes() {
  const svg = element("axes");
  const width = LEFT + extent + 12, height = TOP + extent + 12;
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const add = (x, y, attributes, text) =>
      svg.append(svgNode("text", {x, y, ...attributes}, text));
  add(0, TOP - 24, {class: "caption"}, "rows: the chunk that retrieves");
  add(0, TOP - 8, {class: "caption"}, "columns: what it retrieves from");
  const step = Math.ceil(LINE / cell);
  for (let i = 0; i < size; i += step) {
    const middle = (i + 0.5) * cell + 4;
    add(0, TOP + middle, {class: "words"}, fit(rows[i].words, 24));
    add(LEFT - 8, TOP + middle, {"text-anchor": "end"}, starts[i]);
    const x = LEFT + middle;
    for (const [y, attributes, text] of [
      [TOP - 8, {}, starts[i]],
      [TOP - 8 - startWidth, {class: "words"}, fit(rows[i].words, 14)],
    ]) {
      add(x, y, {...attributes, transform: `rotate(-90 ${x} ${y})`}, text);
    }
  }
  svg.append(svgNode("rect", {
    class: "frame", x: LEFT - 0.5, y: TOP - 0.5,
    width: extent + 1, height: extent + 1,
  }));
  canvas.style.left = `${LEFT}px`;
  canvas.style.top = `${TOP}px`;
}

// ---- The cell under the pointer or the keyboard.

function describe(row, column) {
  const to = chunkName(rows[row]), from = chunkName(rows[column]);
  const many = rows[row].end - rows[row].first > 1;
  if (column >= columns(row)) {
    return `${to} cannot see ${from}: later in the document`;
  }
  if (isBlank(row, column)) return `${to} itself`;
  return `${to} ${many ? "retrieve" : "retrieves"} ${
      weightText(weightOf(row, column))} from ${from}`;
}

function showCell(row, column, announce) {
  state.cursorRow = row;
  state.column = column;
  element("tip-weight").textContent = describe(row, column);
  for (const [id, index] of [["tip-row", row], ["tip-source", column]]) {
    element(id).textContent = `${id === "tip-row" ? "retrieves" : "from"}: ${
        chunkName(rows[index])}, ${place(rows[index])}`;
    element(`${id}-text`).textContent = shortText(rows[index]);
  }
  const cursor = element("cursor");
  cursor.style.left = `${LEFT + column * cell}px`;
  cursor.style.top = `${TOP + row * cell}px`;
  cursor.style.width = cursor.style.height = `${cell}px`;
  cursor.hidden = false;
  placeTip(row, column);
  if (announce) {
    element("status").textContent = `${describe(row, column)}. ${
        rows[row].words}. From: ${rows[column].words}`;
  }
}

// Beside the cell, on the side with more room, inside the window.
function placeTip(row, column) {
  const tip = element("tip");
  tip.hidden = false;
  const box = canvas.getBoundingClientRect();
  const x = box.left + (column + 0.5) * cell;
  const y = box.top + (row + 0.5) * cell;
  const gap = cell / 2 + 14;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  const left = x > window.innerWidth / 2 ? x - gap - width : x + gap;
  tip.style.left = `${clamp(left, 8, window.innerWidth - width - 8)}px`;
  tip.style.top =
      `${clamp(y - height / 2, 8, window.innerHeight - height - 8)}px`;
}

function hideCell() {
  element("tip").hidden = true;
  element("cursor").hidden = true;
}

function cellAt(event) {
  const box = canvas.getBoundingClientRect();
  const at = (distance) => clamp(Math.floor(distance / cell), 0, size - 1);
  return [at(event.clientY - box.top), at(event.clientX - box.left)];
}

// ---- The selected row.

function sourceItem(row, column, largest) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${100 * weightOf(row, column) / largest}%`;
  button.append(bar);
  for (const [name, text] of [
    ["weight", weightText(weightOf(row, column))],
    ["chunk", chunkName(rows[column])],
    ["words", rows[column].words],
  ]) {
    const part = document.createElement(name === "words" ? "bdi" : "span");
    const span = document.createElement("span");
    span.className = name;
    part.textContent = text;
    span.append(part);
    button.append(span);
  }
  button.addEventListener("click", () => {
    canvas.focus();
    showCell(row, column, true);
  });
  item.append(button);
  return item;
}

function selectRow(row) {
  state.row = row;
  const title = chunkName(rows[row]);
  element("row-title").textContent = title[0].toUpperCase() + title.slice(1);
  element("row-place").textContent =
      `${place(rows[row])}, ${number(rows[row].tokens)} tokens`;
  element("row-text").textContent = fullText(rows[row]);
  const seen = [];
  for (let column = 0; column < columns(row); ++column) {
    if (!isBlank(row, column) && weightOf(row, column) > 0) seen.push(column);
  }
  seen.sort((a, b) => weightOf(row, b) - weightOf(row, a));
  const items = seen.slice(0, SOURCES).map(
      (column) => sourceItem(row, column, weightOf(row, seen[0])));
  if (items.length === 0) {
    const item = document.createElement("li");
    item.textContent = "It retrieves nothing here.";
    items.push(item);
  }
  element("sources").replaceChildren(...items);
}

// ---- Controls.

function addOptions(select, kind, count, chosen, isIdle) {
  const option = (value, text) => {
    const node = document.createElement("option");
    node.value = value;
    node.textContent = text;
    node.selected = value === chosen;
    return node;
  };
  select.append(option(-1, "mean"));
  for (let i = 0; data.has_heads && i < count; ++i) {
    const node = option(i, isIdle(i) ? `${kind} ${i} (retrieves nothing)`
                                     : `${kind} ${i}`);
    node.disabled = isIdle(i);
    select.append(node);
  }
}

function update() {
  state.plane = makePlane(Number(element("layer").value),
                          Number(element("head").value));
  state.scale = scales[element("scale").value](state.plane);
  drawCells();
  drawLegend();
  selectRow(state.row);
  const name = (id) => element(id).selectedOptions[0].textContent;
  canvas.setAttribute(
      "aria-label",
      `Map of ${size} by ${size} weights, layer ${name("layer")}, ` +
          `head ${name("head")}`);
}

function moveBy(event) {
  const steps = {
    ArrowLeft: [0, -1], ArrowRight: [0, 1],
    ArrowUp: [-1, 0], ArrowDown: [1, 0],
    PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -size], End: [0, size],
  };
  if (event.key === "Escape") return hideCell();
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return selectRow(state.cursorRow);
  }
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  showCell(clamp(state.cursorRow + step[0], 0, size - 1),
           clamp(state.column + step[1], 0, size - 1), true);
}

function writeFacts() {
  for (const [label, value] of data.facts) {
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = label;
    detail.textContent = value;
    element("facts").append(term, detail);
  }
  if (single) return;
  element("note").textContent =
      `The document has ${number(data.chunks)} chunks. Each row and column ` +
      `stands for ${data.chunks_per_row} neighbouring ones; a cell is the ` +
      "mean over the chunks of its row of what they took from all chunks " +
      "of its column.";
}

function start() {
  writeFacts();
  addOptions(element("layer"), "layer", data.layers, data.layer,
             (i) => !data.retrieving_layers.includes(i));
  addOptions(element("head"), "head", data.heads, data.head, () => false);
  drawAxes();
  update();
  for (const id of ["layer", "head", "scale"]) {
    element(id).addEventListener("change", update);
  }
  element("controls").addEventListener(
      "submit", (event) => event.preventDefault());
  canvas.addEventListener(
      "pointermove", (event) => showCell(...cellAt(event), false));
  canvas.addEventListener("pointerleave", hideCell);
  canvas.addEventListener("pointerdown", (event) => {
    const [row, column] = cellAt(event);
    selectRow(row);
    showCell(row, column, true);
  });
  canvas.addEventListener("keydown", moveBy);
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) {
      showCell(state.cursorRow, state.column, true);
    }
  });
  canvas.addEventListener("blur", hideCell);
  window.matchMedia("(prefers-color-scheme: dark)")
      .addEventListener("change", update);
}

start();
