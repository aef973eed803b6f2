import { find, make } from "./dom.js";
import { t } from "./words.js";

/**
 * A face, with its place in the picture of a camera or its own small picture in a file.
 *
 * @typedef {{ id: number, state: string, on: boolean, box?: [number, number, number, number], picture?: string }} Face
 */
/**
 * What the sliders say.
 *
 * @typedef {{ smoothing: number, feather: number, smile: number, mouth_open: number }} Sliders
 */
/** @typedef {Sliders & { faces: Record<string, boolean>, others: boolean }} Choice */

/** How old a face's small picture may get, in milliseconds. */
const PICTURE_MS = 1000;

/** What is said of a face in each state. */
const WORDS = /** @type {Record<string, string>} */ ({
  drawn: t("Mask removed"),
  bare: t("No mask"),
  "too small": t("Too small to draw"),
  "turned away": t("Turned too far away"),
  uncertain: t("Not sure it is a mask, left alone"),
  "switched off": t("Mask left on"),
  "not chosen": t("Not one of the chosen people"),
});

/** The switches of the faces and the sliders. */
export class Choices {
  #smoothing = find("smoothing", HTMLInputElement);
  #feather = find("feather", HTMLInputElement);
  #smile = find("smile", HTMLInputElement);
  #mouthOpen = find("mouth-open", HTMLInputElement);
  #others = find("others", HTMLInputElement);
  #list = find("faces", HTMLUListElement);
  #noFaces = find("no-faces", HTMLElement);
  /** @type {Record<string, boolean>} */
  #faces = {};
  /** @type {Map<number, FaceRow>} */
  #rows = new Map();

  /** @param {(choice: Choice) => void} changed */
  constructor(changed) {
    const tell = () => {
      this.#say();
      changed(this.value);
    };
    for (const input of [this.#smoothing, this.#feather, this.#smile, this.#mouthOpen, this.#others]) {
      input.addEventListener("input", tell);
    }
    this.changed = changed;
  }

  /**
   * @param {number} widest the widest soft edge that there is
   * @param {boolean} mouths whether the network can be told what mouths do
   */
  setLimits(widest, mouths) {
    this.#feather.max = String(widest);
    find("mouth-rows", HTMLElement).hidden = !mouths;
  }

  /** @param {Sliders & { others?: boolean }} choice */
  set(choice) {
    this.#smoothing.value = String(100 * choice.smoothing);
    this.#feather.value = String(choice.feather);
    this.#smile.value = String(choice.smile);
    this.#mouthOpen.value = String(choice.mouth_open);
    this.#others.checked = choice.others ?? true;
    this.#say();
  }

  /** @returns {Choice} */
  get value() {
    return {
      smoothing: Number(this.#smoothing.value) / 100,
      feather: Number(this.#feather.value),
      smile: Number(this.#smile.value),
      mouth_open: Number(this.#mouthOpen.value),
      faces: this.#faces,
      others: this.#others.checked,
    };
  }

  /**
   * Show a switch for every face of the moment, or of a file.
   *
   * @param {Face[]} faces
   * @param {HTMLVideoElement | null} video where their small pictures come from; null where they bring them along
   */
  showFaces(faces, video) {
    const there = new Set(faces.map((face) => face.id));
    for (const [id, row] of this.#rows) {
      if (!there.has(id)) {
        row.item.remove();
        this.#rows.delete(id);
      }
    }
    for (const face of faces) {
      let row = this.#rows.get(face.id);
      if (row === undefined) {
        row = new FaceRow(face.id, (on) => {
          this.#faces = { ...this.#faces, [face.id]: on };
          this.changed(this.value);
        });
        this.#rows.set(face.id, row);
        this.#list.append(row.item);
      }
      row.show(face, video);
    }
    this.#noFaces.hidden = faces.length > 0;
    this.#noFaces.textContent = t(video === null ? "No masked face was found." : "No face is in the picture.");
  }

  /** Forget the faces: numbers mean others in another run. */
  clearFaces() {
    this.#faces = {};
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#noFaces.hidden = false;
    this.#noFaces.textContent = t("Faces show here while the camera is on.");
  }

  #say() {
    const shown = /** @type {[HTMLInputElement, string][]} */ ([
      [this.#smoothing, `${Math.round(Number(this.#smoothing.value))} %`],
      [this.#feather, `${Number(this.#feather.value)} px`],
      [this.#smile, this.#smile.value],
      [this.#mouthOpen, this.#mouthOpen.value],
    ]);
    for (const [input, text] of shown) {
      find(`${input.id}-value`, HTMLOutputElement).value = text;
      input.setAttribute("aria-valuetext", text);
    }
  }
}

/** A face in the list: its picture, how it stands, its switch. */
class FaceRow {
  item = make("li");
  #picture = make("canvas");
  #state = make("small");
  #switch = make("input");
  #drawnAt = Number.NEGATIVE_INFINITY;

  /**
   * @param {number} id
   * @param {(on: boolean) => void} switched
   */
  constructor(id, switched) {
    this.#picture.width = this.#picture.height = 96;
    this.#picture.setAttribute("aria-hidden", "true");
    this.#switch.type = "checkbox";
    this.#switch.setAttribute("role", "switch");
    this.#switch.id = `face-${id}`;
    this.#state.id = `face-${id}-state`;
    this.#switch.setAttribute("aria-describedby", this.#state.id);
    this.#switch.addEventListener("input", () => switched(this.#switch.checked));
    const label = make("label", t("Face {n}", { n: id }));
    label.htmlFor = this.#switch.id;
    const text = make("div");
    text.append(label, this.#state);
    this.item.className = "face";
    this.item.append(this.#picture, text, this.#switch);
    this.#switch.checked = true;
  }

  /**
   * @param {Face} face
   * @param {HTMLVideoElement | null} video
   */
  show(face, video) {
    const words = WORDS[face.state] ?? face.state;
    if (this.#state.textContent !== words) {
      this.#state.textContent = words;
    }
    if (document.activeElement !== this.#switch) {
      this.#switch.checked = face.on;
    }
    if (performance.now() - this.#drawnAt > PICTURE_MS) {
      this.#drawnAt = performance.now();
      if (video !== null && face.box !== undefined) {
        this.#draw(face.box, video);
      } else if (face.picture) {
        this.#load(face.picture);
      }
    }
  }

  /** @param {string} address */
  #load(address) {
    const image = make("img");
    image.addEventListener("load", () => {
      const { width, height } = this.#picture;
      this.#picture.getContext("2d")?.drawImage(image, 0, 0, width, height);
    });
    image.src = address;
  }

  /**
   * @param {[number, number, number, number]} box
   * @param {HTMLVideoElement} video
   */
  #draw([left, top, right, bottom], video) {
    const width = video.videoWidth;
    const height = video.videoHeight;
    const side = Math.max((right - left) * width, (bottom - top) * height);
    const x = ((left + right) / 2) * width - side / 2;
    const y = ((top + bottom) / 2) * height - side / 2;
    if (side > 0) {
      const { width: size } = this.#picture;
      this.#picture.getContext("2d")?.drawImage(video, x, y, side, side, 0, 0, size, size);
    }
  }
}
