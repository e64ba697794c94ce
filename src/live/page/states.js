// The five states: their words, colours and patterns. The patterns carry the same as the colours,
// for those who cannot tell these apart.

/** In the order in which they are stacked. The colours are those of the dashboards. */
export const STATES = [
  { name: "running", colour: "#73BF69", meaning: "on a CPU", pattern: solid },
  { name: "runnable", colour: "#FADE2A", meaning: "wants a CPU and has none", pattern: dots },
  { name: "blocked", colour: "#F2495C", meaning: "holds a request and waits: of no use to anyone else", pattern: crosses },
  { name: "awaiting", colour: "#5794F2", meaning: "in its event loop with requests in flight: free to take more", pattern: stripes },
  { name: "idle", colour: "#8E8E8E", meaning: "waits for work, nothing in flight", pattern: lines },
];

/** The side of a pattern's tile, in CSS pixels. */
const TILE = 8;

function solid() {}

function dots(pen) {
  pen.fillRect(1, 1, 2, 2);
  pen.fillRect(5, 5, 2, 2);
}

function crosses(pen) {
  stroke(pen, [[0, 0, TILE, TILE], [TILE, 0, 0, TILE]]);
}

function stripes(pen) {
  const half = TILE / 2;
  stroke(pen, [[-half, half, half, -half], [0, TILE, TILE, 0], [half, TILE + half, TILE + half, half]]);
}

function lines(pen) {
  stroke(pen, [[0, TILE / 2, TILE, TILE / 2]]);
}

function stroke(pen, segments) {
  pen.beginPath();
  for (const [x1, y1, x2, y2] of segments) {
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
  }
  pen.stroke();
}

let fills = [];
let fillsScale = 0;

/** What to fill each state's areas with on a canvas of `scale` device pixels a CSS pixel. */
export function fillsAt(scale) {
  if (scale !== fillsScale) {
    fills = STATES.map((state) => fill(state, scale));
    fillsScale = scale;
  }
  return fills;
}

function fill({ colour, pattern }, scale) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(TILE * scale);
  const pen = tile.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, tile.width, tile.height);
  pen.scale(tile.width / TILE, tile.height / TILE);
  pen.fillStyle = pen.strokeStyle = "rgb(0 0 0 / 30%)";
  pattern(pen);
  return pen.createPattern(tile, "repeat");
}

/** A small picture of a state's colour and pattern. */
export function swatch(index) {
  const canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.ariaHidden = "true";
  canvas.width = canvas.height = 16;
  const pen = canvas.getContext("2d");
  pen.fillStyle = fillsAt(1)[index];
  pen.fillRect(0, 0, 16, 16);
  return canvas;
}
