/** @import { Counts, FileRun, Progress } from "./file.js" */
/** @import { Compare } from "./compare.js" */
/** @import { Player } from "./player.js" */
import { find, make, Told, told } from "./dom.js";
import { heard, language, t } from "./words.js";

const notes = find("notes", HTMLUListElement);
const download = find("download", HTMLAnchorElement);
const beside = find("beside", HTMLButtonElement);

/** A finished file on the page: original and result, what can be fetched, and whether it was. */
export class Result {
  /** Whether the result was fetched, so that leaving it loses nothing. */
  fetched = false;

  /**
   * @param {FileRun} run
   * @param {Progress} progress
   */
  constructor(run, progress) {
    this.run = run;
    this.progress = progress;
    this.name = `${run.name.replace(/\.[^.]*$/, "")}-barefaced`;
    // Drawn again it has another address, or the browser would show what it has of the former one.
    this.address = `${run.address}/result?${progress.version}`;
    download.href = this.address;
    download.download = `${this.name}${progress.suffix}`;
    download.onclick = () => {
      this.fetched = true;
    };
  }

  /**
   * @param {Compare} compare
   * @param {Player} player
   */
  show(compare, player) {
    const [before, after] = this.progress.still ? [make("img"), make("img")] : [video(), video()];
    before.id = "original";
    after.id = "result";
    for (const picture of [before, after]) {
      if (picture instanceof HTMLImageElement) {
        picture.alt = t(picture === before ? "The original" : "The result");
        picture.addEventListener("load", () => compare.shape(picture.naturalWidth, picture.naturalHeight));
      }
    }
    compare.show(before, after);
    compare.label(this.progress.drawn);
    this.#note(before, after, compare);
    if (before instanceof HTMLVideoElement && after instanceof HTMLVideoElement) {
      after.muted = false;
      after.addEventListener("loadedmetadata", () => compare.shape(after.videoWidth, after.videoHeight));
      player.take(before, after);
    }
    before.src = `${this.run.address}/original`;
    after.src = this.address;
  }

  /** Have original and result put side by side, and save that. */
  async fetchBeside() {
    const address = `${this.run.address}/beside`;
    beside.disabled = true;
    try {
      const file = await (await told(address)).blob();
      save(file, `${this.name}-beside${this.progress.suffix}`);
    } catch (error) {
      addNote(error instanceof Told ? error.message : String(error));
    }
    beside.disabled = false;
  }

  /**
   * @param {HTMLElement} before
   * @param {HTMLElement} after
   * @param {Compare} compare
   */
  #note(before, after, compare) {
    notes.replaceChildren();
    notes.hidden = true;
    const { drawn, counts, still } = this.progress;
    addNote(drawn ? t("Every drawn part of a face is invented.") : t("Nothing was drawn: the result is the original."));
    for (const note of counts === null ? [] : summary(counts, still)) {
      addNote(note);
    }
    for (const note of this.progress.notes) {
      const said = heard(note);
      addNote(said, said.slice(1) === note.slice(1) ? "en" : language);
    }
    before.addEventListener("error", () => {
      compare.show(null, after);
      addNote(t("This browser can't show the original, so the result stands alone."));
    });
    after.addEventListener("error", () => addNote(t("This browser can't show the result. Download it.")));
  }
}

/**
 * What was done, in sentences.
 *
 * @param {Counts} counts
 * @param {boolean} still whether it is a picture
 * @returns {string[]}
 */
function summary({ pictures, changed, faces, masks, left, drawers }, still) {
  if (faces === 0) {
    return [t("No face was found.")];
  }
  if (masks === 0) {
    return [left > 0 ? t("No mask was taken off. The list of faces says why.") : t("No face wears a mask.")];
  }
  const done = still
    ? t("Masks taken off: {n}.", { n: masks })
    : t("Masks were taken off in {n} of {m} pictures.", { n: changed, m: pictures });
  const modelled = Object.entries(drawers).map(([name, n]) =>
    t("Modelled on {name}: {n} of {m} drawn faces.", { name, n, m: masks }),
  );
  return [done, ...modelled];
}

/**
 * Save a file as a download.
 *
 * @param {Blob} file
 * @param {string} name
 */
export function save(file, name) {
  const link = make("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/**
 * @param {string} text
 * @param {string} [language] of the text, where it is not the page's
 */
function addNote(text, language) {
  if (text !== "") {
    const item = make("li", text);
    if (language !== undefined) {
      item.lang = language;
    }
    notes.append(item);
    notes.hidden = false;
  }
}

/** A video that is silent and plays inside the page. */
export function video() {
  const element = make("video");
  element.muted = true;
  element.playsInline = true;
  return element;
}
