/** @import { Choice, Face, Sliders } from "./choices.js" */
import { Told, told } from "./dom.js";
import { heard, t } from "./words.js";

/**
 * What was done in a finished file: pictures in it, pictures with a mask drawn over, faces that were met, masks drawn
 * over, faces left though not bare, and how many were drawn by which own face.
 *
 * @typedef {{ pictures: number, changed: number, faces: number, masks: number, left: number,
 *   drawers: Record<string, number> }} Counts
 */
/**
 * @typedef {{ frames: number, expected: number | null, seconds_left: number | null, done: boolean,
 *   error: string | null, refusal: string | null, counts: Counts | null, notes: string[], drawn: boolean,
 *   faces: Face[], choice: Sliders & { others: boolean }, suffix: string | null,
 *   version: string | null, still: boolean }} Progress
 */
/**
 * @typedef {{ progress: (progress: Progress) => void, done: (progress: Progress) => void,
 *   failed: (reason: string | null) => void }} Watcher
 */

/** Where it is kept which file the server has of ours, so that a page that is opened again finds it. */
const KEPT = "barefaced-file";

/** A file on its way through the server, and its result. */
export class FileRun {
  #sending = new AbortController();
  /** @type {EventSource | null} */
  #events = null;
  #over = false;
  #finished = false;
  /** What the server calls it; null until it was received. @type {string | null} */
  address = null;

  /**
   * @param {string} name the name of the file
   * @param {Watcher} watcher
   */
  constructor(name, watcher) {
    this.name = name;
    this.watcher = watcher;
  }

  /**
   * The file that an earlier opening of this page has sent, or null.
   *
   * @param {Watcher} watcher
   * @returns {FileRun | null}
   */
  static kept(watcher) {
    const [address, name] = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    if (typeof address !== "string") {
      return null;
    }
    const run = new FileRun(name, watcher);
    run.#follow(address);
    return run;
  }

  /**
   * Send a file, or ask for the sample, and follow what becomes of it.
   *
   * @param {File | null} file null for the sample
   * @param {Choice} choice
   */
  async start(file, choice) {
    const query = new URLSearchParams({
      name: this.name,
      smoothing: String(choice.smoothing),
      feather: String(choice.feather),
      smile: String(choice.smile),
      mouth_open: String(choice.mouth_open),
    });
    const headers = { "Content-Type": "application/octet-stream" };
    await this.#send(file === null ? `/sample?${query}` : `/files?${query}`, { body: file, headers });
  }

  /**
   * Draw the file again with another choice.
   *
   * @param {Choice} choice
   */
  async again(choice) {
    await this.#send(`${this.address}/again`, { body: JSON.stringify({ type: "choice", ...choice }) });
  }

  /** Stop what goes on: a result that was there stays, and `done` tells of it. */
  stop() {
    if (this.#finished) {
      void fetch(`${this.address}/stop`, { method: "POST" });
    } else {
      this.#sending.abort();
      this.#fail(null);
    }
  }

  /** Have the server forget it. */
  drop() {
    this.#over = true;
    this.#events?.close();
    localStorage.removeItem(KEPT);
    if (this.address !== null) {
      void fetch(this.address, { method: "DELETE", keepalive: true });
    }
  }

  /**
   * @param {string} address
   * @param {RequestInit} what
   */
  async #send(address, what) {
    this.#sending = new AbortController();
    try {
      const answer = await (await told(address, { method: "POST", signal: this.#sending.signal, ...what })).json();
      this.#follow(`/files/${answer.id}`);
    } catch (error) {
      if (!this.#sending.signal.aborted) {
        this.#fail(error instanceof Told ? error.message : String(error));
      }
    }
  }

  /** @param {string} address */
  #follow(address) {
    this.address = address;
    localStorage.setItem(KEPT, JSON.stringify([address, this.name]));
    const events = new EventSource(address);
    this.#events = events;
    events.addEventListener("message", (event) => {
      /** @type {Progress} */
      const progress = JSON.parse(event.data);
      if (!progress.done) {
        this.watcher.progress(progress);
        return;
      }
      events.close();
      if (progress.error === null) {
        this.#finished = true;
        this.watcher.done(progress);
      } else {
        this.#fail(heard(progress.error));
      }
    });
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) {
        this.#fail(t("That file is not on the server any more."));
      }
    });
  }

  /** @param {string | null} reason */
  #fail(reason) {
    if (!this.#over) {
      this.drop();
      this.watcher.failed(reason);
    }
  }
}
