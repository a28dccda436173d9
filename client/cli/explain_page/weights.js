"use strict";
// The data of the page: rows, weights by layer and head, scales of colours.
// Text of the document only ever becomes the text of a node.

// Pixels.
const ROW_WORDS = 165, COLUMN_WORDS = 100, CHARACTER = 6.8;
const MAP_SIZE = 800, MIN_CELL = 2, MAX_CELL = 28, LINE = 15;
const SOURCES = 12, TIP_CHARACTERS = 700;

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const rows = data.rows;
const size = rows.length;
const single = data.chunks_per_row === 1;  // a row is one chunk

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Where a row begins: its first chunk and that one's first byte.
const number = (value) => value.toLocaleString("en");
const starts = rows.map((row) => `${row.first} · ${number(row.begin_byte)}`);
// The labels beside the cells: starts next to them, first words beyond.
const startWidth = 10 +
    CHARACTER * Math.max(...starts.map((start) => start.length));
const LEFT = Math.ceil(ROW_WORDS + startWidth) + 8;
const TOP = Math.ceil(COLUMN_WORDS + startWidth) + 8;

// ---- Weights: planes of rows of columns(row) values each.

const columns = (row) => data.causal ? row + 1 : size;
const offset = (row) => data.causal ? row * (row + 1) / 2 : row * size;
const planeSize = offset(size);

const quanta = (() => {
  const bytes = atob(element("weights").textContent);
  const values = new Uint16Array(bytes.length / 2);
  for (let i = 0; i < values.length; ++i) {
    values[i] = bytes.charCodeAt(2 * i) | bytes.charCodeAt(2 * i + 1) << 8;
  }
  return values;
})();

function storedPlane(index) {
  const plane = new Float32Array(planeSize);
  for (let i = 0; i < planeSize; ++i) {
    const root = quanta[index * planeSize + i] / 65535;
    plane[i] = root * root;
  }
  return plane;
}

// -1 is the mean: of the layers that retrieve, of all heads.
function makePlane(layer, head) {
  if (layer < 0 && head < 0) return storedPlane(0);
  const sum = new Float32Array(planeSize);
  const layers = layer < 0 ? data.retrieving_layers : [layer];
  const heads = head < 0 ? [...Array(data.heads).keys()] : [head];
  const share = 1 / (layers.length * heads.length);
  for (const l of layers) {
    for (const h of heads) {
      const member = storedPlane(1 + l * data.heads + h);
      for (let i = 0; i < planeSize; ++i) sum[i] += share * member[i];
    }
  }
  return sum;
}

const isBlank = (row, column) =>
    column >= columns(row) || (single && row === column);

// What a cell would have if each chunk retrieved from all that it sees alike.
function evenShare(row, column) {
  const to = rows[row], from = rows[column];
  let sum = 0;
  for (let chunk = to.first; chunk < to.end; ++chunk) {
    const seen = data.causal ? chunk : data.chunks - 1;
    const end = data.causal ? Math.min(from.end, chunk) : from.end;
    const itself = chunk >= from.first && chunk < end ? 1 : 0;
    if (seen > 0) sum += Math.max(end - from.first - itself, 0) / seen;
  }
  return sum / (to.end - to.first);
}

// ---- The scale.

const colors = data.colors.map((color) => [1, 3, 5].map(
    (at) => parseInt(color.slice(at, at + 2), 16)));

function colorAt(position) {
  const place = clamp(position, 0, 1) * (colors.length - 1);
  const lower = Math.min(Math.floor(place), colors.length - 2);
  const part = place - lower;
  const upper = colors[lower + 1];
  return colors[lower].map(
      (value, i) => Math.round((1 - part) * value + part * upper[i]));
}

function quantile(values, share) {
  values.sort((a, b) => a - b);
  return values[Math.ceil(share * (values.length - 1))];
}

// Of the positive weights of rows [first, end), value(row, column, weight).
function collect(plane, first, end, value) {
  const values = [];
  for (let row = first; row < end; ++row) {
    for (let column = 0; column < columns(row); ++column) {
      const weight = plane[offset(row) + column];
      if (weight > 0 && !isBlank(row, column)) {
        values.push(value(row, column, weight));
      }
    }
  }
  return values;
}

// A scale: its name, the position (0 to 1) of a cell's weight, and the value
// at a position, for the ticks. One in a hundred of the values lies beyond
// each open end, so that a few large ones do not darken the rest.
const scales = {
  // As in the picture that the command draws.
  weight(plane) {
    const weights = collect(plane, 0, size, (row, column, weight) => weight);
    const top = weights.length > 0 ? quantile(weights, 0.99) : 1;
    return {
      name: "weight (square-root scale)",
      position: (row, column, weight) => Math.sqrt(weight / top),
      tick: (position) => (position === 1 ? "≥ " : "") +
          weightText(position * position * top),
    };
  },
  row(plane) {
    const tops = rows.map((_, row) => collect(
        plane, row, row + 1, (r, column, weight) => weight)
        .reduce((most, weight) => Math.max(most, weight), 0) || 1);
    return {
      name: "share of the row's largest weight (square-root scale)",
      position: (row, column, weight) => Math.sqrt(weight / tops[row]),
      tick: (position) => weightText(position * position),
    };
  },
  even(plane) {
    const ratio = (row, column, weight) => weight / evenShare(row, column);
    const ratios = collect(plane, 0, size, ratio);
    const low = ratios.length > 0 ? quantile(ratios, 0.01) : 0;
    const high = ratios.length > 0 ? quantile(ratios, 0.99) : 1;
    const width = high - low || 1;
    return {
      name: "weight as a multiple of an even share",
      position: (row, column, weight) =>
          weight === 0 ? 0 : (ratio(row, column, weight) - low) / width,
      tick: (position) =>
          (position === 0 ? "≤ " : position === 1 ? "≥ " : "") +
          weightText(low + position * width),
    };
  },
};
