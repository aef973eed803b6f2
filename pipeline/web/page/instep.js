/** How many pictures of the original are kept, and for how long, in milliseconds. A result that is later has no match. */
const KEPT = 30;
const KEPT_MS = 2000;

/** The size at which pictures are compared. */
const WIDTH = 32;
const HEIGHT = 24;

/** How often it is found out anew how late the result is, in milliseconds. */
const EVERY_MS = 500;

/** How much a new finding counts beside what was known. */
const SHARE = 0.4;

/** A scene in which the best match is not clearly better than others says nothing: sum of differences, in 8 bits. */
const CLEARLY = WIDTH * HEIGHT * 0.5;

/** @typedef {{ at: number, picture: OffscreenCanvas, small: Uint8ClampedArray }} Kept */

/**
 * Shows the original as late as the result is, so that both sides of the divider show the same moment.
 *
 * How late that is nobody tells: each result is compared with the last originals, and the one that it resembles most is
 * the one that it was made of. While nothing moves any of them will do.
 */
export class InStep {
  /** @type {Kept[]} */
  #kept = [];
  #small = new OffscreenCanvas(WIDTH, HEIGHT).getContext("2d", { willReadFrequently: true });
  #foundAt = 0;
  #over = false;
  /** How late the result is, in milliseconds; null until it is known. @type {number | null} */
  late = null;

  /**
   * @param {HTMLVideoElement} original what the camera sees now
   * @param {HTMLVideoElement} result
   * @param {HTMLCanvasElement} canvas where the original is shown later
   */
  constructor(original, result, canvas) {
    this.original = original;
    this.result = result;
    this.canvas = canvas;
    original.requestVideoFrameCallback((now) => this.#keep(now));
    result.requestVideoFrameCallback((now) => this.#show(now));
  }

  end() {
    this.#over = true;
    this.#kept = [];
  }

  /** @param {number} at */
  #keep(at) {
    if (this.#over) {
      return;
    }
    const { videoWidth: width, videoHeight: height } = this.original;
    const oldest = this.#kept.length < KEPT ? undefined : this.#kept.shift();
    const again = oldest?.picture.width === width && oldest.picture.height === height;
    const picture = again ? oldest.picture : new OffscreenCanvas(width, height);
    picture.getContext("2d")?.drawImage(this.original, 0, 0);
    this.#kept.push({ at, picture, small: this.#shrunk(this.original) });
    this.original.requestVideoFrameCallback((now) => this.#keep(now));
  }

  /** @param {number} at */
  #show(at) {
    if (this.#over) {
      return;
    }
    if (at - this.#foundAt > EVERY_MS) {
      this.#foundAt = at;
      this.#find(at);
    }
    const due = at - (this.late ?? 0);
    const nearest = this.#kept.reduce(
      (/** @type {Kept | null} */ best, each) =>
        best === null || Math.abs(each.at - due) < Math.abs(best.at - due) ? each : best,
      null,
    );
    if (nearest !== null) {
      const { width, height } = nearest.picture;
      if (this.canvas.width !== width || this.canvas.height !== height) {
        this.canvas.width = width;
        this.canvas.height = height;
      }
      this.canvas.getContext("2d")?.drawImage(nearest.picture, 0, 0);
    }
    this.result.requestVideoFrameCallback((now) => this.#show(now));
  }

  /**
   * Find the original that the result of now was made of.
   *
   * @param {number} at
   */
  #find(at) {
    const small = this.#shrunk(this.result);
    const known = this.#kept.filter((each) => at - each.at < KEPT_MS);
    const differences = known.map((each) => difference(each.small, small));
    const best = Math.min(...differences);
    const match = known[differences.indexOf(best)];
    if (match === undefined || Math.max(...differences) - best < CLEARLY) {
      return;
    }
    this.late = this.late === null ? at - match.at : this.late + SHARE * (at - match.at - this.late);
  }

  /**
   * @param {HTMLVideoElement} video
   * @returns {Uint8ClampedArray} (HEIGHT * WIDTH * 4)
   */
  #shrunk(video) {
    if (this.#small === null) {
      throw new Error("this browser gives no canvas to draw on");
    }
    this.#small.drawImage(video, 0, 0, WIDTH, HEIGHT);
    return this.#small.getImageData(0, 0, WIDTH, HEIGHT).data;
  }
}

/**
 * @param {Uint8ClampedArray} one
 * @param {Uint8ClampedArray} other
 * @returns {number} the sum of the differences in green, which is most of what is seen
 */
function difference(one, other) {
  let sum = 0;
  for (let index = 1; index < one.length; index += 4) {
    sum += Math.abs((one[index] ?? 0) - (other[index] ?? 0));
  }
  return sum;
}
