// The five states of a thread: names, colours, patterns and meanings. Other modules take the names from
// here. The patterns repeat the information of the colours for users who cannot tell these apart.

const dark = matchMedia("(prefers-color-scheme: dark)");
/** Not the same list: Chromium reports no change of a list that was read between the change and the report. */
const schemeChange = matchMedia("(prefers-color-scheme: dark)");

/** In stacking order. The names are those of the events, the colours those of the dashboards; idle is pale. */
export const STATES = [
  { name: "running", colour: "#73BF69", meaning: "runs on a CPU", pattern: solid },
  { name: "runnable", colour: "#FADE2A", meaning: "ready to run, waits for a CPU", pattern: dots },
  { name: "blocked", colour: "#F2495C", meaning: "waits while it is held by a request: it can do nothing else", pattern: crosses },
  { name: "awaiting", colour: "#5794F2", meaning: "waits in its event loop with requests in flight: can handle more", pattern: stripes },
  { name: "idle", colour: "#E4E7EB", darkColour: "#2B2F36", meaning: "waits for requests; none are in flight", pattern: lines },
];

/** Side of a pattern's tile in CSS pixels. */
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

/** Returns a state's colour on the present background. */
export function colourOf({ colour, darkColour }) {
  return dark.matches ? darkColour ?? colour : colour;
}

/** Returns the colour of text on a state's colour. */
export function inkOn({ darkColour }) {
  return dark.matches && darkColour ? "#d8d9dd" : "#000";
}

let fills = [];
let fillsFor = "";

/** Returns the fill of each state for a canvas with `scale` device pixels per CSS pixel; other ones in the dark. */
export function fillsAt(scale) {
  const key = `${scale} ${dark.matches}`;
  if (key !== fillsFor) {
    fills = STATES.map((state) => fill(state, scale));
    fillsFor = key;
  }
  return fills;
}

function fill(state, scale) {
  const { pattern } = state;
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(TILE * scale);
  const pen = tile.getContext("2d");
  pen.fillStyle = colourOf(state);
  pen.fillRect(0, 0, tile.width, tile.height);
  pen.scale(tile.width / TILE, tile.height / TILE);
  pen.fillStyle = pen.strokeStyle = "rgb(0 0 0 / 16%)";
  pattern(pen);
  return pen.createPattern(tile, "repeat");
}

/** Returns a small canvas with a state's colour and pattern. */
export function swatch(index) {
  const canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.ariaHidden = "true";
  canvas.width = canvas.height = 16;
  const pen = canvas.getContext("2d");
  const draw = () => {
    pen.fillStyle = fillsAt(1)[index];
    pen.fillRect(0, 0, 16, 16);
  };
  draw();
  if (STATES[index].darkColour) schemeChange.addEventListener("change", draw);
  return canvas;
}
