// Draws the lane of one thread: its states over the window, stacked where several are mixed.
//
// A frame moves the lane to the left and draws only its new end, so that its cost does not depend on
// the minute before. Positions are counted in pixels since the first frame, those of patterns too, so
// that patterns move with the lane.

import { WINDOW } from "./history.js";
import { STATES, fillsAt } from "./states.js";

const inSight = new WeakSet();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target);
    else inSight.delete(target);
  }
});

/** Observed, because reading an element's size in each frame would force a layout in each frame. */
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const [width, height] = [contentRect.width, contentRect.height].map((side) => Math.round(side * devicePixelRatio));
    // Setting a size clears the canvas, even if the size is the same.
    if (target.width !== width) target.width = width;
    if (target.height !== height) target.height = height;
  }
});

/** The lane of one thread on its canvas. */
export class Lane {
  #canvas;
  #pen;
  #epoch = null;
  /** Right edge of the drawing, and the canvas size at that time. */
  #drawn = { right: -Infinity, width: 0, height: 0 };
  /** Start of the last stretch that has a label. */
  #labelled = -Infinity;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    sight.observe(canvas);
    sizes.observe(canvas);
  }

  /** Draws the window that ends at `edge` of the server's clock, if the canvas is in sight. */
  draw(stretches, edge) {
    const { width, height } = this.#canvas;
    if (!inSight.has(this.#canvas) || width === 0) return;
    this.#epoch ??= edge;
    const x = (time) => Math.round(((time - this.#epoch) / WINDOW) * width);
    const right = x(edge);
    const from = this.#move(right, width, height);
    this.#pen.setTransform(1, 0, 0, 1, width - right, 0);
    // New stretches are at the end.
    for (let i = stretches.length - 1; i >= 0 && x(stretches[i].to) > from; i -= 1) {
      this.#stretch(stretches[i], x(stretches[i].from), Math.min(x(stretches[i].to), right), from, height);
    }
    // The states at the right end may not be known yet; they are drawn once they are.
    const known = stretches.length > 0 ? Math.min(right, x(stretches.at(-1).to)) : right;
    this.#drawn = { right, known, width, height };
  }

  /** Moves the drawing to its new place and returns the position after which nothing is drawn. */
  #move(right, width, height) {
    const { right: before, known, width: oldWidth, height: oldHeight } = this.#drawn;
    const by = right - before;
    this.#pen.setTransform(1, 0, 0, 1, 0, 0);
    if (by < 0 || by >= width || width !== oldWidth || height !== oldHeight) {
      this.#pen.clearRect(0, 0, width, height);
      this.#labelled = -Infinity;
      return right - width;
    }
    this.#pen.globalCompositeOperation = "copy";
    this.#pen.drawImage(this.#canvas, -by, 0);
    this.#pen.globalCompositeOperation = "source-over";
    return known;
  }

  #stretch({ grown, pure }, left, right, from, height) {
    const fills = fillsAt(devicePixelRatio);
    const start = Math.max(left, from);
    if (pure < 0) {
      stack(this.#pen, fills, grown, start, right, height);
      return;
    }
    this.#pen.fillStyle = fills[pure];
    this.#pen.fillRect(start, 0, right - start, height);
    if (left > this.#labelled && label(this.#pen, STATES[pure], left, right, height)) {
      this.#labelled = left;
    }
  }
}

/** Draws the states of a mixed stretch from the bottom up, each with a height in proportion to its share. */
function stack(pen, fills, grown, left, right, height) {
  const all = grown.reduce((sum, part) => sum + part, 0);
  let bottom = height;
  grown.forEach((part, i) => {
    if (part <= 0) return;
    const top = bottom - (part / all) * height;
    pen.fillStyle = fills[i];
    pen.fillRect(left, top, right - left, bottom - top);
    bottom = top;
  });
}

/** Draws a state's name at the start of a stretch, on plain colour. Returns whether there was room for it. */
function label(pen, { name, colour }, left, right, height) {
  const scale = devicePixelRatio;
  const size = Math.min(13 * scale, height - 2 * scale);
  pen.font = `${size}px system-ui, sans-serif`;
  const wide = pen.measureText(name).width + 6 * scale;
  if (wide > right - left) return false;
  pen.fillStyle = colour;
  pen.fillRect(left, (height - size) / 2 - scale, wide, size + 2 * scale);
  pen.fillStyle = "#000";
  pen.textBaseline = "middle";
  pen.fillText(name, left + 3 * scale, height / 2 + scale / 2);
  return true;
}
