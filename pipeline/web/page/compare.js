import { find } from "./dom.js";
import { t } from "./words.js";

/** The original and the result in one frame, with a divider between them that is a slider. */
export class Compare {
  #figure = find("compare", HTMLElement);
  #before = find("before", HTMLElement);
  #after = find("after", HTMLElement);
  #divider = find("divider", HTMLInputElement);
  #side = find("right-side", HTMLElement);
  #peek = find("peek", HTMLButtonElement);

  constructor() {
    this.#divider.addEventListener("input", () => this.#cut());
    const full = find("fullscreen", HTMLButtonElement);
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => void this.#figure.requestFullscreen().catch(() => undefined));
    this.#holdToPeek();
    this.#cut();
  }

  /** @param {boolean} drawn whether anything in the result is invented */
  label(drawn) {
    const words = t(drawn ? "Invented" : "Result");
    if (this.#side.textContent !== words) {
      this.#side.textContent = words;
    }
  }

  /** @param {boolean} mirrored */
  mirror(mirrored) {
    this.#figure.classList.toggle("mirrored", mirrored);
  }

  /**
   * Show two pictures or videos; without an original the result alone.
   *
   * @param {HTMLElement | null} original
   * @param {HTMLElement} result
   */
  show(original, result) {
    this.#before.replaceChildren(...(original === null ? [] : [original]));
    this.#after.replaceChildren(result);
    this.#figure.classList.toggle("single", original === null);
    this.#peek.hidden = original === null;
    this.#figure.hidden = false;
  }

  /**
   * Give the frame the shape of the pictures.
   *
   * @param {number} width
   * @param {number} height
   */
  shape(width, height) {
    if (width > 0 && height > 0) {
      this.#figure.style.setProperty("--shape", `${width} / ${height}`);
      this.#figure.style.setProperty("--ratio", String(width / height));
    }
  }

  hide() {
    this.#before.replaceChildren();
    this.#after.replaceChildren();
    this.#figure.hidden = true;
  }

  /** While the button is held, by pointer or key, the original alone is seen. */
  #holdToPeek() {
    const peeks = (/** @type {boolean} */ held) => () => this.#figure.classList.toggle("peek", held);
    for (const event of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) {
      this.#peek.addEventListener(event, peeks(false));
    }
    this.#peek.addEventListener("pointerdown", peeks(true));
    this.#peek.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") {
        peeks(true)();
      }
    });
    this.#peek.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #cut() {
    const share = Number(this.#divider.value);
    this.#figure.style.setProperty("--cut", `${share}%`);
    const words = t("original {n} %, result {m} %", { n: share, m: 100 - share });
    this.#divider.setAttribute("aria-valuetext", words);
  }
}
