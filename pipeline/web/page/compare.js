import { find } from "./dom.js";

/** The original and the result in one frame, with a divider between them that is a slider. */
export class Compare {
  #figure = find("compare", HTMLElement);
  #before = find("before", HTMLElement);
  #after = find("after", HTMLElement);
  #divider = find("divider", HTMLInputElement);

  constructor() {
    this.#divider.addEventListener("input", () => this.#cut());
    this.#cut();
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

  #cut() {
    const share = Number(this.#divider.value);
    this.#figure.style.setProperty("--cut", `${share}%`);
    this.#divider.setAttribute("aria-valuetext", `original ${share} %, result ${100 - share} %`);
  }
}
