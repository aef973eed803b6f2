/** @import { Status } from "./camera.js" */
/** @import { Progress } from "./file.js" */
import { Camera } from "./camera.js";
import { Choices } from "./choices.js";
import { Compare } from "./compare.js";
import { find, make } from "./dom.js";
import { FileRun } from "./file.js";
import { Graph } from "./graph.js";
import { InStep } from "./instep.js";
import { Player } from "./player.js";

/**
 * @typedef {{ engine: string, note: string, suffixes: string[], upload_megabytes: number, smoothing: number,
 *   feather: number, widest_feather: number }} About
 */

const status = find("status", HTMLElement);
const alertBox = find("alert", HTMLElement);
const stage = find("stage", HTMLElement);
const empty = find("empty", HTMLElement);
const working = find("working", HTMLElement);
const bar = find("bar", HTMLElement);
const facesSection = find("faces-section", HTMLElement);
const drawingSection = find("drawing-section", HTMLElement);
const speed = find("speed", HTMLElement);
const stop = find("stop", HTMLButtonElement);
const start = find("start", HTMLButtonElement);
const chooser = find("file", HTMLInputElement);
const progressBar = find("progress", HTMLProgressElement);
const download = find("download", HTMLAnchorElement);
const notes = find("notes", HTMLUListElement);

const compare = new Compare();
const player = new Player();
const choices = new Choices((choice) => camera?.choose(choice));
const fps = new Graph(find("fps-graph", HTMLCanvasElement), { name: "Frames per second", unit: "fps", least: 30 });
const age = new Graph(find("age-graph", HTMLCanvasElement), { name: "Age of the frames", unit: "ms", least: 100 });

/** @type {Camera | null} */
let camera = null;
/** @type {FileRun | null} */
let run = null;
/** @type {About | null} */
let about = null;
/** @type {InStep | null} */
let inStep = null;
/** The address of the original, while it is shown. @type {string | null} */
let original = null;

/** @param {"empty" | "working" | "picture"} what */
function show(what) {
  empty.hidden = what !== "empty";
  working.hidden = what !== "working";
  bar.hidden = what !== "picture";
  facesSection.hidden = run !== null;
  drawingSection.hidden = run !== null;
  if (what !== "picture") {
    compare.hide();
    player.release();
    download.hidden = true;
    notes.hidden = true;
    speed.hidden = true;
  }
}

/** @param {string} sentence said politely, once */
function say(sentence) {
  if (status.textContent !== sentence) {
    status.textContent = sentence;
  }
}

/** @param {string | null} sentence */
function complain(sentence) {
  alertBox.textContent = sentence ?? "";
  alertBox.hidden = sentence === null;
}

/** Back to the beginning; keyboard users land where they began. */
function reset() {
  if (original !== null) {
    URL.revokeObjectURL(original);
    original = null;
  }
  inStep?.end();
  inStep = null;
  camera = null;
  run = null;
  choices.clearFaces();
  show("empty");
  start.focus();
}

// --- the camera -------------------------------------------------------------------------------------------------------

function startCamera() {
  complain(null);
  say("Opening the camera");
  start.disabled = true;
  fps.clear();
  age.clear();
  for (const id of ["fps", "age", "late", "p95", "dropped"]) {
    find(id, HTMLElement).textContent = "–";
  }
  const result = video();
  camera = new Camera({
    picture: (stream) => showCamera(stream, result),
    status: (news) => showStatus(news, result),
    ended: (reason) => {
      start.disabled = false;
      say("The camera is off.");
      complain(reason);
      reset();
    },
  });
  void camera.start(choices.value);
}

/**
 * @param {MediaStream} stream
 * @param {HTMLVideoElement} result
 */
function showCamera(stream, result) {
  const before = video();
  before.srcObject = camera?.stream ?? null;
  result.srcObject = stream;
  for (const each of [before, result]) {
    each.addEventListener("resize", () => compare.shape(each.videoWidth, each.videoHeight));
  }
  before.id = "original";
  result.id = "result";
  start.disabled = false;
  const canvas = make("canvas");
  const layers = make("div");
  layers.append(before, canvas);
  compare.show(layers, result);
  inStep = new InStep(before, result, canvas);
  stop.textContent = "Stop the camera";
  show("picture");
  speed.hidden = false;
  stop.focus();
  say("The camera is on.");
}

/**
 * @param {Status} news
 * @param {HTMLVideoElement} result
 */
function showStatus(news, result) {
  find("fps", HTMLElement).textContent = news.fps.toFixed(1);
  find("dropped", HTMLElement).textContent = `${news.dropped} of ${news.dropped + news.shown}`;
  fps.add(news.fps);
  if (news.age_ms !== null) {
    find("age", HTMLElement).textContent = String(news.age_ms.p50);
    find("p95", HTMLElement).textContent = `${news.age_ms.p95} ms`;
    age.add(news.age_ms.p50);
  }
  const late = inStep?.late ?? 0;
  // The whole way takes longer than its part; on a machine that is far too slow there is nothing to compare with.
  const known = news.age_ms !== null && late > news.age_ms.p50;
  find("late", HTMLElement).textContent = known ? `about ${10 * Math.round(late / 10)} ms` : "–";
  choices.showFaces(news.faces, result);
  const drawn = news.faces.filter((face) => face.state === "drawn").length;
  const failed = news.failed > 0 ? ` A network failed on ${news.failed} frames: ${news.last_failure}.` : "";
  const count = news.faces.length === 1 ? "1 face" : `${news.faces.length} faces`;
  say(`The camera is on. ${count}, ${drawn} drawn.${failed}`);
}

// --- files ------------------------------------------------------------------------------------------------------------

/** @param {File} file */
function startFile(file) {
  complain(refusal(file));
  if (!alertBox.hidden) {
    return;
  }
  find("working-text", HTMLElement).textContent = "Receiving the file";
  find("progress-text", HTMLElement).textContent = file.name;
  progressBar.removeAttribute("value");
  say(`Receiving ${file.name}`);
  run = new FileRun(file, {
    progress: showProgress,
    done: (progress, address) => showResult(file, progress, address),
    failed: (reason) => {
      say("The file was not processed.");
      complain(reason);
      reset();
    },
  });
  show("working");
  find("cancel", HTMLButtonElement).focus();
  void run.start(choices.value);
}

/**
 * Why a file is not even sent.
 *
 * @param {File} file
 * @returns {string | null}
 */
function refusal(file) {
  const limits = about;
  if (limits === null) {
    return null;
  }
  if (!limits.suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
    return `${file.name} is no video or picture that is known here: ${limits.suffixes.join(" ")}`;
  }
  if (file.size > limits.upload_megabytes * 1e6) {
    return `${file.name} has more than ${limits.upload_megabytes} MB. Start with a larger --upload-megabytes.`;
  }
  return null;
}

/** @param {Progress} progress */
function showProgress(progress) {
  const known = progress.expected !== null && progress.expected > 0;
  find("working-text", HTMLElement).textContent = "Taking the masks off";
  const of = known ? ` of ${progress.expected}` : "";
  find("progress-text", HTMLElement).textContent = `${progress.frames}${of} frames`;
  if (known) {
    const share = progress.frames / Number(progress.expected);
    progressBar.value = share;
    say(`Taking the masks off: ${10 * Math.floor(10 * share)} %`);
  }
}

/**
 * @param {File} file
 * @param {Progress} progress
 * @param {string} address
 */
function showResult(file, progress, address) {
  original = URL.createObjectURL(file);
  const [before, after] = progress.still ? [make("img"), make("img")] : [video(), video()];
  before.id = "original";
  after.id = "result";
  for (const picture of [before, after]) {
    if (picture instanceof HTMLImageElement) {
      picture.alt = picture === before ? "The original" : "The result, with invented faces";
      picture.addEventListener("load", () => compare.shape(picture.naturalWidth, picture.naturalHeight));
    }
  }
  show("picture");
  compare.show(before, after);
  before.addEventListener("error", () => {
    compare.show(null, after);
    addNote("This browser can't show the original, so the result stands alone.");
  });
  after.addEventListener("error", () => addNote("This browser can't show the result; download it."));
  notes.replaceChildren();
  for (const note of [progress.summary ?? "", ...progress.notes]) {
    addNote(note);
  }
  if (before instanceof HTMLVideoElement && after instanceof HTMLVideoElement) {
    after.muted = false;
    after.autoplay = before.autoplay = false;
    after.addEventListener("loadedmetadata", () => compare.shape(after.videoWidth, after.videoHeight));
    player.take(before, after);
  }
  before.src = original;
  after.src = address;
  download.href = address;
  download.download = `${file.name.replace(/\.[^.]*$/, "")}-barefaced${progress.suffix}`;
  download.hidden = false;
  stop.textContent = "Done";
  download.focus();
  say("The result is there.");
}

/** @param {string} text */
function addNote(text) {
  notes.append(make("li", text));
  notes.hidden = false;
}

function video() {
  const element = make("video");
  element.muted = true;
  element.autoplay = true;
  element.playsInline = true;
  return element;
}

// --- events -----------------------------------------------------------------------------------------------------------

start.addEventListener("click", startCamera);
stop.addEventListener("click", () => {
  if (camera !== null) {
    camera.stop();
  } else {
    run?.drop();
    say("");
    reset();
  }
});
find("cancel", HTMLButtonElement).addEventListener("click", () => {
  run?.drop();
  say("Cancelled.");
  reset();
});
chooser.addEventListener("change", () => {
  const [file] = chooser.files ?? [];
  if (file !== undefined) {
    startFile(file);
  }
  chooser.value = "";
});
window.addEventListener("pagehide", () => {
  camera?.stop();
  run?.drop();
});
for (const type of ["dragenter", "dragover"]) {
  stage.addEventListener(type, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", !empty.hidden);
  });
}
for (const type of ["dragleave", "drop"]) {
  stage.addEventListener(type, () => stage.classList.remove("over"));
}
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file !== undefined && !empty.hidden) {
    startFile(file);
  }
});

// The token of the link was good for one time: it need not stay in the address and in the history.
history.replaceState(null, "", "/");

const response = await fetch("/about");
about = /** @type {About} */ (await response.json());
find("invented", HTMLElement).textContent = about.note;
find("engine", HTMLElement).textContent = about.engine;
find("limits", HTMLElement).textContent = `Nothing leaves this machine. Files up to ${about.upload_megabytes} MB.`;
chooser.accept = about.suffixes.join(",");
choices.setDefaults(about);
