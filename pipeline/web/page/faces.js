import { ask } from "./ask.js";
import { find, make, Told, told } from "./dom.js";
import { heard, t } from "./words.js";

/**
 * @typedef {{ recordings: number, running: boolean, pictures: number, step: number, steps: number,
 *   gain: number | null, error: string | null, name: string | null, notes: string[] }} Enrolment
 */
/**
 * An own face; `error` says why it can't be drawn.
 *
 * @typedef {{ name: string, pictures: number, made: string, gain: number | null, error: string | null }} Known
 */
/**
 * @typedef {{ missing: string | null, worn: string | null, faces: Known[], enrolment: Enrolment }} Faces
 */

/** How long a person is recorded, in seconds. */
const SITTING_SECONDS = 40;

/** What the person is to do, each from which second on. @type {[number, string][]} */
const SITTING = [
  [0, t("Look into the camera")],
  [4, t("Turn your head slowly to the left")],
  [8, t("Turn your head slowly to the right")],
  [12, t("Look up")],
  [15, t("Look down")],
  [18, t("Talk: count to twenty")],
  [30, t("Smile, with your lips closed and open")],
  [35, t("Open your mouth wide and close it")],
];

/** How often the progress of an enrolment is asked for, in milliseconds. */
const LOOK_MS = 500;

/** The enrolled faces, and the dialog in which another one is learned. */
export class OwnFaces {
  #list = find("own-faces", HTMLUListElement);
  #open = find("enroll-open", HTMLButtonElement);
  #why = find("enroll-missing", HTMLElement);
  #alert = find("own-alert", HTMLElement);
  #dialog = find("enroll", HTMLDialogElement);
  #name = find("enroll-name", HTMLInputElement);
  #agreed = find("enroll-agreed", HTMLInputElement);
  #files = find("enroll-files", HTMLInputElement);
  #record = find("enroll-record", HTMLButtonElement);
  #preview = find("enroll-preview", HTMLVideoElement);
  #told = find("enroll-told", HTMLElement);
  #notes = find("enroll-notes", HTMLElement);
  #learn = find("enroll-learn", HTMLButtonElement);
  #progress = find("enroll-progress", HTMLProgressElement);
  #sheet = find("enroll-sheet", HTMLImageElement);
  #complaint = find("enroll-alert", HTMLElement);
  /** @type {Faces | null} */
  #state = null;
  /** @type {Recording | null} */
  #recording = null;
  /** The camera is being opened, or a recording is on its way to the server: neither begins twice. */
  #pending = false;

  constructor() {
    this.#open.addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("close", () => void this.#close());
    this.#files.addEventListener("change", () => {
      void this.#send([...(this.#files.files ?? [])]);
      this.#files.value = "";
    });
    this.#dialog.addEventListener("dragover", (event) => event.preventDefault());
    for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
      this.#dialog.addEventListener(type, (event) => event.stopPropagation());
    }
    this.#dialog.addEventListener("drop", (event) => {
      event.preventDefault();
      void this.#send([...(event.dataTransfer?.files ?? [])]);
    });
    this.#record.addEventListener("click", () => void this.#sit());
    this.#learn.addEventListener("click", () => void this.#begin());
    for (const input of [this.#name, this.#agreed]) {
      input.addEventListener("input", () => this.#show());
    }
    find("enroll-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
  }

  /** Ask for the faces and show them. */
  async start() {
    await this.#ask("GET", "/faces", this.#alert);
  }

  /**
   * Ask the server and show what it answers; false where it refused, which is said in `box`.
   *
   * @param {string} method
   * @param {string} address
   * @param {HTMLElement} box
   * @param {Blob} [body]
   */
  async #ask(method, address, box, body) {
    const headers = { "Content-Type": "application/octet-stream" };
    try {
      const response = await told(address, { method, ...(body === undefined ? {} : { body, headers }) });
      this.#state = await response.json();
    } catch (error) {
      if (!(error instanceof Told)) {
        throw error;
      }
      box.textContent = error.message;
      box.hidden = false;
      return false;
    }
    box.hidden = true;
    this.#show();
    return true;
  }

  #show() {
    const state = this.#state;
    if (state === null) {
      return;
    }
    this.#open.disabled = state.missing !== null;
    this.#why.textContent = state.missing === null ? "" : heard(state.missing);
    this.#why.hidden = state.missing === null;
    this.#record.textContent = this.#recording === null ? t("Record {n} seconds", { n: SITTING_SECONDS }) : t("Stop");
    this.#list.replaceChildren(this.#row(null), ...state.faces.map((face) => this.#row(face)));
    this.#showEnrolment(state.enrolment);
  }

  /** @param {Enrolment} enrolment */
  #showEnrolment(enrolment) {
    const named = this.#name.value !== "" && this.#name.checkValidity();
    const busy = enrolment.running || this.#pending || this.#recording !== null;
    this.#learn.disabled = busy || enrolment.recordings === 0 || !named || !this.#agreed.checked;
    this.#record.disabled = enrolment.running || this.#pending;
    this.#files.disabled = busy;
    this.#progress.hidden = !enrolment.running;
    if (enrolment.running && enrolment.steps > 0) {
      this.#progress.value = enrolment.step / enrolment.steps;
    } else {
      this.#progress.removeAttribute("value");
    }
    if (this.#recording === null && !this.#pending) {
      this.#told.textContent = said(enrolment);
    }
    if (enrolment.error !== null) {
      this.#complaint.textContent = heard(enrolment.error);
      this.#complaint.hidden = false;
    }
    this.#notes.replaceChildren(...enrolment.notes.map((note) => make("li", heard(note))));
    this.#notes.hidden = enrolment.notes.length === 0;
    this.#sheet.hidden = enrolment.name === null;
    if (enrolment.name !== null && this.#sheet.dataset.of !== enrolment.name) {
      this.#sheet.dataset.of = enrolment.name;
      this.#sheet.src = `/faces/sheet?of=${encodeURIComponent(enrolment.name)}`;
    }
  }

  /**
   * A face that may be chosen and forgotten; null is the shipped network.
   *
   * @param {Known | null} face
   */
  #row(face) {
    const item = make("li");
    const choice = make("input");
    choice.type = "radio";
    choice.name = "own-face";
    choice.id = `own-face-${face?.name ?? ""}`;
    choice.checked = (this.#state?.worn ?? null) === (face?.name ?? null);
    choice.disabled = face !== null && face.error !== null;
    choice.addEventListener("input", () => {
      const query = new URLSearchParams(face === null ? {} : { name: face.name });
      void this.#ask("PUT", `/faces?${query}`, this.#alert).then((done) => done || this.#show());
    });
    const label = make("label", face === null ? t("An invented face") : face.name);
    label.htmlFor = choice.id;
    item.append(choice, label);
    if (face !== null) {
      const forget = make("button", t("Forget"));
      forget.type = "button";
      forget.setAttribute("aria-label", t("Forget the face {name}", { name: face.name }));
      forget.addEventListener("click", async () => {
        const question = t("Forget the face {name}? It can't be brought back.", { name: face.name });
        if ((await ask(question, [t("Forget"), t("Cancel")])) === 0) {
          await this.#ask("DELETE", `/faces/${encodeURIComponent(face.name)}`, this.#alert);
        }
      });
      label.append(make("small", described(face)));
      item.append(forget);
    }
    return item;
  }

  /** @param {File[]} files */
  async #send(files) {
    for (const file of files) {
      this.#told.textContent = t("Receiving {name}", { name: file.name });
      if (!(await this.#take(file.name, file))) {
        return;
      }
    }
  }

  /**
   * @param {string} name
   * @param {Blob} content
   */
  async #take(name, content) {
    this.#pending = true;
    this.#show();
    try {
      return await this.#ask("POST", `/faces/recordings?${new URLSearchParams({ name })}`, this.#complaint, content);
    } finally {
      this.#pending = false;
      this.#show();
    }
  }

  /** Record the person; a second click ends it early. */
  async #sit() {
    if (this.#recording !== null) {
      this.#recording.stop();
      return;
    }
    this.#complaint.hidden = true;
    this.#pending = true;
    this.#show();
    try {
      this.#recording = await Recording.begin(this.#preview);
      this.#pending = false;
      this.#show();
      const film = await this.#recording.until(SITTING_SECONDS, (now) => {
        const [, what] = SITTING.findLast(([from]) => from <= now) ?? [0, ""];
        this.#told.textContent = t("{what}: {n} s left", { what, n: Math.ceil(SITTING_SECONDS - now) });
      });
      this.#recording = null;
      await this.#take("recording.webm", film);
    } catch (error) {
      this.#complaint.textContent = error instanceof Error ? error.message : String(error);
      this.#complaint.hidden = false;
    }
    this.#recording = null;
    this.#pending = false;
    this.#show();
  }

  async #begin() {
    const query = new URLSearchParams({ name: this.#name.value, agreed: String(this.#agreed.checked) });
    let asks = await this.#ask("POST", `/faces?${query}`, this.#complaint);
    while (asks && this.#state?.enrolment.running) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      asks = await this.#ask("GET", "/faces", this.#alert);
    }
  }

  /** Closing the dialog cancels what goes on in it and forgets the recordings. */
  async #close() {
    this.#recording?.stop();
    this.#complaint.hidden = true;
    this.#name.value = "";
    this.#agreed.checked = false;
    await this.#ask("DELETE", "/faces/recordings", this.#alert);
  }
}

/** This browser's camera, recorded. */
class Recording {
  /** @type {Blob[]} */
  #parts = [];

  /**
   * @param {MediaStream} stream
   * @param {HTMLVideoElement} preview
   */
  constructor(stream, preview) {
    this.stream = stream;
    this.preview = preview;
    this.recorder = new MediaRecorder(stream, { videoBitsPerSecond: 6_000_000 });
    this.recorder.addEventListener("dataavailable", (event) => this.#parts.push(event.data));
    preview.srcObject = stream;
    preview.hidden = false;
  }

  /** @param {HTMLVideoElement} preview */
  static async begin(preview) {
    const wanted = { audio: false, video: { width: { ideal: 640 }, height: { ideal: 480 } } };
    return new Recording(await navigator.mediaDevices.getUserMedia(wanted), preview);
  }

  /**
   * Record for so long, unless it is stopped; `tell` gets the seconds so far, now and then.
   *
   * @param {number} seconds
   * @param {(seconds: number) => void} tell
   * @returns {Promise<Blob>}
   */
  until(seconds, tell) {
    const began = performance.now();
    const timer = setInterval(() => {
      const now = (performance.now() - began) / 1000;
      tell(Math.min(now, seconds));
      if (now >= seconds) {
        this.stop();
      }
    }, 200);
    return new Promise((resolve) => {
      this.recorder.addEventListener("stop", () => {
        clearInterval(timer);
        this.preview.hidden = true;
        for (const track of this.stream.getTracks()) {
          track.stop();
        }
        resolve(new Blob(this.#parts, { type: "video/webm" }));
      });
      this.recorder.start();
    });
  }

  stop() {
    if (this.recorder.state !== "inactive") {
      this.recorder.stop();
    }
  }
}

/**
 * An own face in a line.
 *
 * @param {Known} face
 */
function described({ pictures, made, gain, error }) {
  if (error !== null) {
    return heard(error);
  }
  return t("{n} pictures, {date}", { n: pictures, date: made }) + decibels(gain);
}

/** @param {number | null} gain how much nearer to the true face the own face is */
function decibels(gain) {
  return gain === null ? "" : `, ${gain < 0 ? "" : "+"}${gain.toFixed(1)} dB`;
}

/**
 * How far an enrolment is, in a sentence.
 *
 * @param {Enrolment} enrolment
 */
function said(enrolment) {
  if (enrolment.running && enrolment.steps === 0) {
    return t("Looking at the recordings: {n} pictures", { n: enrolment.pictures });
  }
  const { step, steps, name, recordings } = enrolment;
  if (enrolment.running) {
    return t("Learning: step {step} of {steps}", { step, steps }) + decibels(enrolment.gain);
  }
  if (name !== null) {
    return t("{name} is learned. From top to bottom: masked, invented, own, true.", { name });
  }
  return recordings === 0 ? t("Nothing is recorded yet.") : t("Recordings to learn from: {n}", { n: recordings });
}
