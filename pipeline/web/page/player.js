import { find } from "./dom.js";
import { t } from "./words.js";

/** How far apart the two may be before the original is put right, in seconds. */
const APART = 0.06;

/** Plays result and original in step: the result leads, and has the sound. */
export class Player {
  #bar = find("player", HTMLElement);
  #play = find("play", HTMLButtonElement);
  #seek = find("seek", HTMLInputElement);
  #time = find("time", HTMLOutputElement);
  /** @type {HTMLVideoElement | null} */
  #result = null;
  /** @type {HTMLVideoElement | null} */
  #original = null;

  constructor() {
    this.#play.addEventListener("click", () => this.#toggle());
    this.#seek.addEventListener("input", () => {
      if (this.#result !== null) {
        this.#result.currentTime = Number(this.#seek.value) * (this.#result.duration || 0);
        this.#follow();
      }
    });
  }

  /**
   * @param {HTMLVideoElement | null} original
   * @param {HTMLVideoElement} result
   */
  take(original, result) {
    this.#original = original;
    this.#result = result;
    for (const event of ["timeupdate", "play", "pause", "seeked", "ended", "loadedmetadata"]) {
      result.addEventListener(event, () => this.#follow());
    }
    this.#bar.hidden = false;
    this.#follow();
  }

  release() {
    this.#result?.pause();
    this.#original?.pause();
    this.#result = this.#original = null;
    this.#bar.hidden = true;
  }

  #toggle() {
    const result = this.#result;
    if (result !== null) {
      void (result.paused ? result.play() : result.pause());
    }
  }

  /** Bring the original and the controls to where the result is. */
  #follow() {
    const result = this.#result;
    if (result === null) {
      return;
    }
    const original = this.#original;
    if (original !== null) {
      if (Math.abs(original.currentTime - result.currentTime) > APART) {
        original.currentTime = result.currentTime;
      }
      if (result.paused !== original.paused) {
        void (result.paused ? original.pause() : original.play());
      }
    }
    this.#play.textContent = t(result.paused ? "Play" : "Pause");
    this.#seek.value = String(result.duration ? result.currentTime / result.duration : 0);
    this.#time.value = `${clock(result.currentTime)} / ${clock(result.duration)}`;
    this.#seek.setAttribute("aria-valuetext", this.#time.value);
  }
}

/**
 * @param {number} seconds
 * @returns {string} such as `1:07`
 */
function clock(seconds) {
  const whole = Math.floor(seconds || 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
