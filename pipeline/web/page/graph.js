import { t } from "./words.js";

/** How many values are kept: a minute at four a second. */
const KEPT = 240;

/** How many values pass between two descriptions for screen readers. */
const DESCRIBE_EVERY = 40;

/** A line of the last minute on a canvas, described in words for those who do not see it. */
export class Graph {
  /** @type {number[]} */
  #values = [];
  #added = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{ name: string, unit: string, least: number }} what `least` is the lowest value of the upper edge
   */
  constructor(canvas, what) {
    this.canvas = canvas;
    this.what = what;
  }

  /** @param {number} value */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > KEPT) {
      this.#values.shift();
    }
    if (this.#added++ % DESCRIBE_EVERY === 0) {
      this.canvas.setAttribute("aria-label", this.#described());
    }
    this.#draw();
  }

  clear() {
    this.#values = [];
    this.#added = 0;
    this.canvas.setAttribute("aria-label", this.what.name);
    this.#draw();
  }

  #described() {
    const low = Math.round(Math.min(...this.#values));
    const high = Math.round(Math.max(...this.#values));
    const last = Math.round(this.#values.at(-1) ?? 0);
    const values = { name: this.what.name, last, unit: this.what.unit, low, high };
    return t("{name}: {last} {unit} now, between {low} and {high} over the last minute", values);
  }

  #draw() {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * scale);
    const height = Math.round(this.canvas.clientHeight * scale);
    const context = this.canvas.getContext("2d");
    if (context === null || width === 0) {
      return;
    }
    this.canvas.width = width;
    this.canvas.height = height;
    const top = Math.max(this.what.least, ...this.#values) * 1.1;
    const colour = getComputedStyle(this.canvas).color;
    const step = width / (KEPT - 1);
    const first = width - step * (this.#values.length - 1);
    context.beginPath();
    this.#values.forEach((value, index) => {
      context.lineTo(first + index * step, height - scale - (value / top) * (height - 2 * scale));
    });
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * scale;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(first, height);
    context.globalAlpha = 0.14;
    context.fillStyle = colour;
    context.fill();
  }
}
