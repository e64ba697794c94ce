// Draws one thread's lane: its states over the window, stacked where they are mixed.
//
// A lane is moved to the left and only its new end is drawn, so that a frame costs the same whatever
// the minute was like. All is counted in pixels since the first frame, patterns too: they move along.

import { WINDOW } from "./history.js";
import { STATES, fillsAt } from "./states.js";

const inSight = new WeakSet();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target);
    else inSight.delete(target);
  }
});

/** To ask an element for its size at each frame would have the page laid out at each frame. */
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const [width, height] = [contentRect.width, contentRect.height].map((side) => Math.round(side * devicePixelRatio));
    // Setting a size clears the canvas, even to what it is.
    if (target.width !== width) target.width = width;
    if (target.height !== height) target.height = height;
  }
});

/** One thread's lane on its canvas. */
export class Lane {
  #canvas;
  #pen;
  #epoch = null;
  /** The right edge of what is drawn, and the size at which it was. */
  #drawn = { right: -Infinity, width: 0, height: 0 };
  /** Where the last stretch begins that has its label. */
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
    // What is new is at the end.
    for (let i = stretches.length - 1; i >= 0 && x(stretches[i].to) > from; i -= 1) {
      this.#stretch(stretches[i], x(stretches[i].from), Math.min(x(stretches[i].to), right), from, height);
    }
    // The end may not be known yet: then it is drawn when it is.
    const known = stretches.length > 0 ? Math.min(right, x(stretches.at(-1).to)) : right;
    this.#drawn = { right, known, width, height };
  }

  /** Moves what is drawn to its new place, and returns from where on there is nothing. */
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

/** The states of a mixed stretch, from the bottom up, each as high as its part. */
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

/** The word where the stretch begins, on a ground without pattern; says whether it had room. */
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
