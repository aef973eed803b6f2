/** @import { Choice } from "./choices.js" */
/**
 * @typedef {{ frames: number, expected: number | null, done: boolean, error: string | null, summary: string | null,
 *   notes: string[], suffix: string | null, still: boolean }} Progress
 */
/**
 * @typedef {{ progress: (progress: Progress) => void, done: (progress: Progress, address: string) => void,
 *   failed: (reason: string) => void }} Watcher
 */

/** A file on its way through the server. Used once. */
export class FileRun {
  #sending = new AbortController();
  /** @type {EventSource | null} */
  #events = null;
  /** @type {string | null} */
  #address = null;
  #over = false;

  /**
   * @param {File} file
   * @param {Watcher} watcher
   */
  constructor(file, watcher) {
    this.file = file;
    this.watcher = watcher;
  }

  /**
   * Send the file and follow what becomes of it.
   *
   * @param {Choice} choice
   */
  async start(choice) {
    const query = new URLSearchParams({
      name: this.file.name,
      smoothing: String(choice.smoothing),
      feather: String(choice.feather),
    });
    try {
      const response = await fetch(`/files?${query}`, {
        method: "POST",
        body: this.file,
        headers: { "Content-Type": "application/octet-stream" },
        signal: this.#sending.signal,
      });
      const answer = await response.json();
      if (!response.ok) {
        throw new Error(answer.message);
      }
      this.#address = `/files/${answer.id}`;
      this.#follow(this.#address);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** End it, and let the server forget it. */
  drop() {
    this.#over = true;
    this.#sending.abort();
    this.#events?.close();
    if (this.#address !== null) {
      void fetch(this.#address, { method: "DELETE", keepalive: true });
    }
  }

  /** @param {string} address */
  #follow(address) {
    const events = new EventSource(address);
    this.#events = events;
    events.addEventListener("message", (event) => {
      /** @type {Progress} */
      const progress = JSON.parse(event.data);
      this.watcher.progress(progress);
      if (progress.done) {
        events.close();
        if (progress.error !== null) {
          this.#fail(progress.error);
        } else {
          this.watcher.done(progress, `${address}/result`);
        }
      }
    });
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) {
        this.#fail("The server is gone. Start `barefaced serve` again.");
      }
    });
  }

  /** @param {string} reason */
  #fail(reason) {
    if (!this.#over) {
      this.#over = true;
      this.watcher.failed(reason);
    }
  }
}
