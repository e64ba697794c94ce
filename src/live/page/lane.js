// Draws the lane of one thread: its states over the window, stacked where several are mixed.
//
// A frame moves the lane to the left and draws only its new end, so that its cost does not depend on
// the minute before. Positions are counted in pixels since a fixed time, those of patterns too, so
// that patterns move with the lane.

import { secondsOf } from "./history.js";
import { STATES, colourOf, fillsAt, inkOn } from "./states.js";

/** Share of a sliding lane after which a long stretch gets its label again: the first one leaves the lane. */
const REPEAT = 0.45;

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
  #epoch = 0;
  #span = 0;
  #fills = null;
  /** Right edge of the drawing, and the canvas size at that time. */
  #drawn = { right: -Infinity, width: 0, height: 0 };
  /** Position and state of the last label. */
  #labelled = { at: -Infinity, state: -1 };

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    sight.observe(canvas);
    sizes.observe(canvas);
  }

  /**
   * Draws the time from `from` to `to` of the server's clock, up to `edge`, if the canvas is in sight.
   * `stretches` are the states, the oldest first.
   */
  draw(stretches, { from, to, edge, slides }) {
    const { width, height } = this.#canvas;
    if (!inSight.has(this.#canvas) || width === 0) return;
    const fills = fillsAt(devicePixelRatio);
    if (to - from !== this.#span || fills !== this.#fills) {
      this.#drawn.width = 0;
      this.#epoch = from;
      this.#span = to - from;
      this.#fills = fills;
    }
    const x = (time) => Math.round(((time - this.#epoch) / this.#span) * width);
    const [right, end] = [x(to), x(Math.min(edge, to))];
    const start = this.#move(right, width, height);
    this.#drawn.right = right;
    this.#pen.setTransform(1, 0, 0, 1, width - right, 0);
    let first = stretches.length;
    while (first > 0 && x(stretches[first - 1].to) > start) first -= 1;
    for (const stretch of stretches.slice(first)) {
      if (x(stretch.from) >= end) break;
      const [left, until] = [x(stretch.from), Math.min(x(stretch.to), end)];
      this.#stretch(stretch, left, until, start, height);
      if (stretch.pure >= 0) this.#label(stretch.pure, left, until, slides ? REPEAT * width : Infinity, height);
    }
    // The states at the right end may not be known yet; they are drawn once they are.
    const known = Math.min(end, stretches.length > 0 ? x(stretches.at(-1).to) : end);
    this.#drawn = { right, known, width, height };
  }

  /** Moves the drawing to its new place and returns the position after which nothing is drawn. */
  #move(right, width, height) {
    const { right: before, known, width: oldWidth, height: oldHeight } = this.#drawn;
    const by = right - before;
    this.#pen.setTransform(1, 0, 0, 1, 0, 0);
    if (by < 0 || by >= width || width !== oldWidth || height !== oldHeight) {
      this.#pen.clearRect(0, 0, width, height);
      this.#labelled = { at: -Infinity, state: -1 };
      return right - width;
    }
    this.#pen.globalCompositeOperation = "copy";
    this.#pen.drawImage(this.#canvas, -by, 0);
    this.#pen.globalCompositeOperation = "source-over";
    return known;
  }

  #stretch(stretch, left, right, from, height) {
    const start = Math.max(left, from);
    if (stretch.pure < 0) {
      stack(this.#pen, this.#fills, stretch, start, right, height);
    } else {
      this.#pen.fillStyle = this.#fills[stretch.pure];
      this.#pen.fillRect(start, 0, right - start, height);
    }
  }

  /** Labels a stretch at its start, unless the last label is of the same state and less than `repeat` pixels before it. */
  #label(state, left, right, repeat, height) {
    const { at, state: before } = this.#labelled;
    const visible = Math.max(left, this.#drawn.right - this.#canvas.width);
    const start = state === before ? Math.max(visible, at + repeat) : visible;
    if (start > at && label(this.#pen, STATES[state], start, right, height)) this.#labelled = { at: start, state };
  }
}

/**
 * Draws the states of a mixed stretch from the bottom up, each with a height in proportion to its share. Nothing is drawn
 * for what is not known.
 */
function stack(pen, fills, stretch, left, right, height) {
  const all = secondsOf(stretch);
  let bottom = height;
  stretch.grown.forEach((part, i) => {
    if (part <= 0) return;
    const top = bottom - (part / all) * height;
    pen.fillStyle = fills[i];
    pen.fillRect(left, top, right - left, bottom - top);
    bottom = top;
  });
}

/** Draws a state's name at the start of a stretch, on plain colour. Returns whether there was room for it. */
function label(pen, state, left, right, height) {
  const scale = devicePixelRatio;
  const size = Math.min(13 * scale, height - 2 * scale);
  pen.font = `${size}px system-ui, sans-serif`;
  const wide = pen.measureText(state.name).width + 6 * scale;
  if (wide > right - left) return false;
  pen.fillStyle = colourOf(state);
  pen.fillRect(left, (height - size) / 2 - scale, wide, size + 2 * scale);
  pen.fillStyle = inkOn(state);
  pen.textBaseline = "middle";
  pen.fillText(state.name, left + 3 * scale, height / 2 + scale / 2);
  return true;
}
