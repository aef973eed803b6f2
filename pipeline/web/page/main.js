/** @import { Status } from "./camera.js" */
/** @import { Sliders } from "./choices.js" */
/** @import { Progress } from "./file.js" */
import { ask } from "./ask.js";
import { Camera, cameras } from "./camera.js";
import { Choices } from "./choices.js";
import { Compare } from "./compare.js";
import { find, make, Told, told } from "./dom.js";
import { OwnFaces } from "./faces.js";
import { FileRun } from "./file.js";
import { Graph } from "./graph.js";
import { InStep } from "./instep.js";
import { Player } from "./player.js";
import { Result, save, video } from "./result.js";
import { heard, language, speak, t, translatePage } from "./words.js";

/**
 * @typedef {Sliders & { engine: string, suffixes: string[], upload_megabytes: number, widest_feather: number,
 *   takes_expression: boolean }} About
 */

/** Pictures a second below which a camera is too slow to talk by. */
const SLOW_FPS = 10;

/** How many reports in a row must be slow before anybody is told: five seconds. */
const SLOW_REPORTS = 20;

/** How often the picture that was finished last is fetched, in milliseconds. */
const NEWEST_MS = 1000;

/** @typedef {"empty" | "working" | "camera" | "result"} Screen */

translatePage();

const status = find("status", HTMLElement);
const alertBox = find("alert", HTMLElement);
const start = find("start", HTMLButtonElement);
const stop = find("stop", HTMLButtonElement);
const chooser = find("file", HTMLInputElement);
const device = find("device", HTMLSelectElement);
const size = find("size", HTMLSelectElement);
const mirror = find("mirror", HTMLInputElement);
const drawAgain = find("again", HTMLButtonElement);
const progressBar = find("progress", HTMLProgressElement);
const newest = find("newest", HTMLImageElement);
const advice = find("advice", HTMLElement);

const compare = new Compare();
const player = new Player();
const choices = new Choices((choice) => {
  camera?.choose(choice);
  drawAgain.classList.toggle("main", result !== null);
});
const fps = new Graph(find("fps-graph", HTMLCanvasElement), { name: t("Pictures a second"), unit: "fps", least: 30 });
const age = new Graph(find("age-graph", HTMLCanvasElement), {
  name: t("Delay in the program"),
  unit: "ms",
  least: 100,
});

/** @type {Screen} */
let screen = "empty";
/** @type {Camera | null} */
let camera = null;
/** @type {FileRun | null} */
let run = null;
/** @type {Result | null} */
let result = null;
/** @type {InStep | null} */
let inStep = null;
let slowReports = 0;
let newestAt = 0;
let drawnNow = false;

/** @param {Screen} which what is to be seen from now on */
function show(which) {
  screen = which;
  const shown = /** @type {Record<string, Screen[]>} */ ({
    empty: ["empty"],
    working: ["working"],
    bar: ["camera", "result"],
    stop: ["camera"],
    snapshot: ["camera"],
    speed: ["camera"],
    "camera-section": ["empty", "camera"],
    "faces-section": ["camera", "result"],
    "drawing-section": ["empty", "camera", "result"],
    "others-row": ["camera"],
    again: ["result"],
    download: ["result"],
    beside: ["result"],
    another: ["result"],
  });
  for (const [id, screens] of Object.entries(shown)) {
    const element = document.getElementById(id);
    if (element !== null) {
      element.hidden = !screens.includes(which);
    }
  }
  advice.hidden = true;
  newest.hidden = true;
  drawAgain.classList.remove("main");
  compare.mirror(which === "camera" && mirror.checked);
  if (which === "empty" || which === "working") {
    compare.hide();
    player.release();
    find("notes", HTMLElement).hidden = true;
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
  inStep?.end();
  inStep = camera = run = result = null;
  choices.clearFaces();
  show("empty");
  start.disabled = false;
  start.focus();
}

/** Whether what is on the page may go; asks where something would be lost. */
async function mayLeave() {
  if (screen === "working") {
    return (await ask(t("A file is being processed. Cancel that?"), [t("Cancel it"), t("Go on")])) === 0;
  }
  if (result === null || result.fetched) {
    return true;
  }
  const question = t("The result was not downloaded. Throw it away?");
  const answer = await ask(question, [t("Download it first"), t("Throw it away"), t("Keep it")]);
  if (answer === 0) {
    find("download", HTMLAnchorElement).click();
  }
  return answer <= 1;
}

/** End whatever goes on, once nobody would lose anything. @returns {Promise<boolean>} whether the page is free now */
async function leave() {
  if (!(await mayLeave())) {
    return false;
  }
  camera?.stop();
  const former = run;
  run = null;
  // The download that was just asked for needs the file for as long as it takes.
  setTimeout(() => former?.drop(), result?.fetched ? 2000 : 0);
  return true;
}

// --- the camera -------------------------------------------------------------------------------------------------------

function startCamera() {
  complain(null);
  say(t("Opening the camera"));
  start.disabled = true;
  slowReports = 0;
  fps.clear();
  age.clear();
  for (const id of ["fps", "age", "late", "p95", "dropped"]) {
    find(id, HTMLElement).textContent = "–";
  }
  const after = video();
  after.autoplay = true;
  const mine = new Camera({
    picture: (stream) => showCamera(stream, after),
    status: (news) => showStatus(news, after),
    ended: (reason) => {
      if (camera === mine) {
        say(t("The camera is off."));
        complain(reason);
        reset();
      }
    },
  });
  camera = mine;
  void camera.start(choices.value, { device: device.value, width: Number(size.value) });
}

/** Begin anew with the camera or the size that was chosen meanwhile. */
function changeCamera() {
  if (camera !== null) {
    const former = camera;
    camera = null;
    former.stop();
    inStep?.end();
    choices.clearFaces();
    startCamera();
  }
}

/**
 * @param {MediaStream} stream
 * @param {HTMLVideoElement} after
 */
function showCamera(stream, after) {
  const before = video();
  before.autoplay = true;
  before.srcObject = camera?.stream ?? null;
  after.srcObject = stream;
  for (const each of [before, after]) {
    each.addEventListener("resize", () => compare.shape(each.videoWidth, each.videoHeight));
  }
  before.id = "original";
  after.id = "result";
  const canvas = make("canvas");
  const layers = make("div");
  layers.append(before, canvas);
  compare.show(layers, after);
  inStep = new InStep(before, after, canvas);
  const again = screen === "camera";
  show("camera");
  if (!again) {
    stop.focus();
  }
  say(t("The camera is on."));
  void listCameras();
}

/** Offer the cameras that there are now. */
async function listCameras() {
  const there = await cameras().catch(() => []);
  if (there.length === 0) {
    return;
  }
  const now = camera?.stream?.getVideoTracks()[0]?.getSettings().deviceId ?? device.value;
  device.replaceChildren(
    ...there.map(({ id, name }) => {
      const option = make("option", name);
      option.value = id;
      return option;
    }),
  );
  device.value = there.some(({ id }) => id === now) ? now : (there[0]?.id ?? "");
}

/**
 * @param {Status} news
 * @param {HTMLVideoElement} after
 */
function showStatus(news, after) {
  find("fps", HTMLElement).textContent = news.fps.toFixed(1);
  const counts = { n: news.dropped, m: news.dropped + news.shown };
  find("dropped", HTMLElement).textContent = t("{n} of {m}", counts);
  fps.add(news.fps);
  if (news.age_ms !== null) {
    find("age", HTMLElement).textContent = String(news.age_ms.p50);
    find("p95", HTMLElement).textContent = `${news.age_ms.p95} ms`;
    age.add(news.age_ms.p50);
  }
  const late = inStep?.late ?? 0;
  // The whole way takes longer than its part; on a machine that is far too slow there is nothing to compare with.
  const known = news.age_ms !== null && late > news.age_ms.p50;
  const about = { n: 10 * Math.round(late / 10) };
  find("late", HTMLElement).textContent = known ? t("about {n} ms", about) : "–";

  choices.showFaces(news.faces, after);
  const drawn = news.faces.filter((face) => face.state === "drawn").length;
  drawnNow = news.drawn === true && drawn > 0;
  compare.label(drawnNow);
  advise(news);
  const count = news.faces.length === 1 ? t("1 face") : t("{n} faces", { n: news.faces.length });
  const failure = { n: news.failed, reason: news.last_failure ?? "" };
  const failed = news.failed > 0 ? t("A network failed on {n} pictures: {reason}.", failure) : "";
  const state =
    drawnNow || drawn === 0
      ? t("The camera is on. {faces}, {n} without the mask.", { faces: count, n: drawn })
      : t("The camera is on. No drawn picture is ready in time.");
  say(`${state} ${failed}`.trim());
}

/** Say what helps where the camera is too slow. @param {Status} news */
function advise(news) {
  slowReports = news.drawn !== null && news.fps < SLOW_FPS ? slowReports + 1 : 0;
  advice.hidden = slowReports < SLOW_REPORTS;
  if (advice.hidden) {
    return;
  }
  const amount = Math.round(news.fps);
  const few = t(
    amount < 1 ? "Your computer manages less than 1 picture a second." : "Your computer manages 1 picture a second.",
  );
  const slow = amount > 1 ? t("Your computer manages {n} pictures a second.", { n: amount }) : few;
  const cure =
    size.selectedIndex > 0
      ? t("Choose a smaller picture width, and close other programs.")
      : t("Close other programs, or start `barefaced serve --redraw-every 24`, which draws less often.");
  if (advice.textContent !== `${slow} ${cure}`) {
    advice.textContent = `${slow} ${cure}`;
  }
}

/** Save what the camera's result shows now, labelled where something in it is drawn. */
async function saveSnapshot() {
  const after = find("result", HTMLVideoElement);
  const canvas = make("canvas");
  canvas.width = after.videoWidth;
  canvas.height = after.videoHeight;
  canvas.getContext("2d")?.drawImage(after, 0, 0);
  const plain = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  try {
    const picture = drawnNow ? await (await told("/label", { method: "POST", body: plain })).blob() : plain;
    save(picture, `barefaced-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`);
    say(t("The picture was saved."));
  } catch (error) {
    complain(error instanceof Told ? error.message : String(error));
  }
}

// --- files ------------------------------------------------------------------------------------------------------------

/** What happens to files that are on their way. */
const watcher = {
  progress: showProgress,
  done: showResult,
  failed: (/** @type {string | null} */ reason) => {
    say(reason === null ? t("Cancelled.") : t("The file was not processed."));
    complain(reason);
    reset();
  },
};

/** @param {File | null} file null for the sample */
async function startFile(file) {
  const refused = file === null ? null : refusal(file);
  complain(refused);
  if (refused !== null || !(await leave())) {
    return;
  }
  result = null;
  choices.clearFaces();
  const name = file?.name ?? "sample.mp4";
  begin(file === null ? t("Drawing the sample") : t("Receiving the file"), name);
  run = new FileRun(name, watcher);
  void run.start(file, choices.value);
}

/**
 * Show that a file is about to be processed.
 *
 * @param {string} what
 * @param {string} name
 */
function begin(what, name) {
  find("working-text", HTMLElement).textContent = what;
  find("progress-text", HTMLElement).textContent = name;
  progressBar.removeAttribute("value");
  say(`${what}: ${name}`);
  show("working");
  find("cancel", HTMLButtonElement).focus();
}

/**
 * Why a file is not even sent.
 *
 * @param {File} file
 * @returns {string | null}
 */
function refusal(file) {
  const values = { name: file.name, suffixes: about.suffixes.join(" "), n: about.upload_megabytes };
  if (!about.suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
    return t("{name} is not a video or a picture of a kind that is read here: {suffixes}", values);
  }
  if (file.size > about.upload_megabytes * 1e6) {
    return t("{name} has more than {n} MB. `barefaced serve --upload-megabytes` sets another limit.", values);
  }
  return null;
}

/** @param {Progress} progress */
function showProgress(progress) {
  if (screen !== "working") {
    begin(t("Taking the masks off"), run?.name ?? "");
  }
  const known = progress.expected !== null && progress.expected > 0;
  find("working-text", HTMLElement).textContent = t("Taking the masks off");
  const counts = { n: progress.frames, m: progress.expected ?? 0 };
  const amount = known ? t("{n} of {m} pictures", counts) : t("{n} pictures", counts);
  const left = progress.seconds_left === null ? "" : `, ${timeLeft(progress.seconds_left)}`;
  find("progress-text", HTMLElement).textContent = amount + left;
  if (known) {
    const share = progress.frames / Number(progress.expected);
    progressBar.value = share;
    say(t("Taking the masks off: {n} %", { n: 10 * Math.floor(10 * share) }));
  }
  if (progress.frames > 0 && run?.address && performance.now() - newestAt > NEWEST_MS) {
    newestAt = performance.now();
    newest.src = `${run.address}/newest?${progress.frames}`;
  }
}

/** @param {number} seconds */
function timeLeft(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) {
    return t("about {n} s left", { n: Math.max(1, Math.round(seconds)) });
  }
  return t("about {n} min left", { n: minutes });
}

/** @param {Progress} progress */
function showResult(progress) {
  if (run === null) {
    return;
  }
  complain(progress.refusal === null ? null : heard(progress.refusal));
  const again = result !== null;
  result = new Result(run, progress);
  show("result");
  result.show(compare, player);
  choices.set(progress.choice);
  choices.showFaces(progress.faces, null);
  (again ? drawAgain : find("download", HTMLAnchorElement)).focus();
  say(t("The result is ready."));
}

function redraw() {
  begin(t("Taking the masks off"), run?.name ?? "");
  void run?.again(choices.value);
}

// --- events -----------------------------------------------------------------------------------------------------------

start.addEventListener("click", startCamera);
stop.addEventListener("click", () => camera?.stop());
find("sample", HTMLButtonElement).addEventListener("click", () => void startFile(null));
find("cancel", HTMLButtonElement).addEventListener("click", () => run?.stop());
find("another", HTMLButtonElement).addEventListener("click", async () => {
  if (await leave()) {
    say("");
    reset();
  }
});
find("beside", HTMLButtonElement).addEventListener("click", async () => {
  say(t("Putting original and result side by side"));
  await result?.fetchBeside();
  say("");
});
find("snapshot", HTMLButtonElement).addEventListener("click", () => void saveSnapshot());
drawAgain.addEventListener("click", redraw);
newest.addEventListener("load", () => {
  newest.hidden = screen !== "working";
});
newest.addEventListener("error", () => {
  newest.hidden = true;
});
mirror.addEventListener("input", () => compare.mirror(mirror.checked));
for (const select of [device, size]) {
  select.addEventListener("input", changeCamera);
}
const languages = find("language", HTMLSelectElement);
languages.value = language;
languages.addEventListener("input", () => speak(languages.value));

chooser.addEventListener("change", () => {
  const [file] = chooser.files ?? [];
  if (file !== undefined) {
    void startFile(file);
  }
  chooser.value = "";
});
window.addEventListener("pagehide", () => camera?.stop());

// A file is taken wherever on the page it is dropped.
for (const type of ["dragenter", "dragover"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
}
window.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) {
    document.body.classList.remove("over");
  }
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const file = event.dataTransfer?.files[0];
  if (file !== undefined && !find("ask", HTMLDialogElement).open) {
    void startFile(file);
  }
});

// The token of the link was good for one time: it need not stay in the address and in the history.
history.replaceState(null, "", "/");

/** @type {About} */
const about = await (await told("/about")).json();
find("engine", HTMLElement).textContent = about.engine;
const limits = { n: about.upload_megabytes };
find("limits", HTMLElement).textContent = t("Nothing leaves this machine. Files up to {n} MB.", limits);
chooser.accept = about.suffixes.join(",");
choices.setLimits(about.widest_feather, about.takes_expression);
choices.set(about);
show("empty");
void listCameras();
await new OwnFaces().start();
run = FileRun.kept({ ...watcher, failed: () => reset() });
document.body.classList.add("ready");
