/** @import { Choice, Face } from "./choices.js" */
import { Told } from "./dom.js";
import { heard, t } from "./words.js";

/** @typedef {{ p50: number, p95: number, p99: number }} Ages */
/**
 * @typedef {{ type: "status", fps: number, age_ms: Ages | null, shown: number, dropped: number, failed: number,
 *   last_failure: string | null, drawn: boolean | null, faces: Face[] }} Status
 */
/** @typedef {Status | { type: "answer", sdp: string } | { type: "error", message: string }} Message */
/**
 * @typedef {{ picture: (stream: MediaStream) => void, status: (status: Status) => void,
 *   ended: (reason: string | null) => void }} Watcher
 */

/** How far the sides of a picture may be from the shape of the camera's whole view: more has been cut off. */
const SAME_SHAPE = 0.02;

/** Bits a second that the camera's picture may take on its way: both ends are on this machine. */
const MOST_BITS = 4_000_000;

/** This browser's camera on its way through the server and back. Used once. */
export class Camera {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {RTCPeerConnection | null} */
  #peer = null;
  #over = false;
  /** @type {MediaStream | null} */
  stream = null;

  /** @param {Watcher} watcher */
  constructor(watcher) {
    this.watcher = watcher;
  }

  /**
   * Open the camera and send it. What goes wrong is told to `ended`.
   *
   * @param {Choice} choice
   * @param {{ device: string, width: number }} wanted
   */
  async start(choice, wanted) {
    try {
      this.stream = await openCamera(wanted);
      if (this.#over) {
        this.#release();
        return;
      }
      await this.#connect(this.stream, choice);
    } catch (error) {
      this.#end(
        error instanceof Told ? error.message : t("The camera can't be used ({reason}).", { reason: String(error) }),
      );
    }
  }

  /** @param {Choice} choice */
  choose(choice) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: "choice", ...choice }));
    }
  }

  stop() {
    this.#end(null);
  }

  /**
   * @param {MediaStream} stream
   * @param {Choice} choice
   */
  async #connect(stream, choice) {
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    peer.addEventListener("track", (event) => {
      event.receiver.jitterBufferTarget = 0;
      this.watcher.picture(new MediaStream([event.track]));
    });
    for (const track of stream.getVideoTracks()) {
      track.addEventListener("ended", () => this.#end(t("The camera was taken away.")));
      peer.addTransceiver(track, { direction: "sendrecv", sendEncodings: [{ maxBitrate: MOST_BITS }] });
    }
    await peer.setLocalDescription();
    await gathered(peer);
    if (this.#over) {
      return;
    }
    const socket = new WebSocket(`ws://${location.host}/live`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify({ type: "offer", sdp: peer.localDescription?.sdp }));
    });
    socket.addEventListener("message", (event) => this.#hear(JSON.parse(event.data), choice));
    socket.addEventListener("close", () =>
      this.#end(t("The server does not answer. Start `barefaced serve` again, and open its new link.")),
    );
  }

  /**
   * @param {Message} message
   * @param {Choice} choice
   */
  async #hear(message, choice) {
    if (message.type === "answer") {
      await this.#peer?.setRemoteDescription({ type: "answer", sdp: message.sdp });
      await keepSize(this.#peer);
      this.choose(choice);
    } else if (message.type === "status") {
      this.watcher.status(message);
    } else {
      this.#end(heard(message.message));
    }
  }

  /** @param {string | null} reason */
  #end(reason) {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.#release();
    this.watcher.ended(reason);
  }

  #release() {
    this.#socket?.close();
    this.#peer?.close();
    for (const track of this.stream?.getTracks() ?? []) {
      track.stop();
    }
  }
}

/**
 * The cameras of this machine; their names are known once one of them was allowed.
 *
 * @returns {Promise<{ id: string, name: string }[]>}
 */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices
    .filter((device) => device.kind === "videoinput")
    .map((device, place) => ({ id: device.deviceId, name: device.label || t("Camera {n}", { n: place + 1 }) }));
}

/**
 * The camera's stream, of the whole of what it sees; an error says what to do.
 *
 * @param {{ device: string, width: number }} wanted `device` is empty for the browser's own choice
 * @returns {Promise<MediaStream>}
 */
async function openCamera({ device, width }) {
  if (navigator.mediaDevices === undefined) {
    throw new Told(
      t("Browsers give a page the camera only at 127.0.0.1 or localhost. Open the link that was printed."),
    );
  }
  // Only the width is asked for, and no cutting to size: a wide camera stays wide.
  const video = { width: { ideal: width }, frameRate: { ideal: 30 }, resizeMode: { ideal: "none" } };
  const chosen = device === "" ? video : { ...video, deviceId: { exact: device } };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: chosen });
    await widen(stream, video);
    return stream;
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const cures = /** @type {Record<string, string>} */ ({
      NotAllowedError: t("The browser may not use the camera. Allow it beside the address bar, and try again."),
      NotFoundError: t("There is no camera. Plug one in, or choose a file."),
      NotReadableError: t("The camera is busy. Close the other program that uses it, and try again."),
      OverconstrainedError: t("That camera is not there any more. Choose another one."),
    });
    throw new Told(cures[name] ?? t("The camera can't be used ({reason}).", { reason: name || String(error) }));
  }
}

/**
 * Ask for the shape of the camera's whole view where the picture has another one.
 *
 * @param {MediaStream} stream
 * @param {MediaTrackConstraints} asked
 */
async function widen(stream, asked) {
  const [track] = stream.getVideoTracks();
  const most = track?.getCapabilities?.();
  const now = track?.getSettings();
  if (!most?.width?.max || !most.height?.max || !now?.width || !now.height) {
    return;
  }
  const whole = most.width.max / most.height.max;
  if (Math.abs(now.width / now.height / whole - 1) > SAME_SHAPE) {
    await track?.applyConstraints({ ...asked, aspectRatio: { ideal: whole } }).catch(() => undefined);
  }
}

/**
 * Rather fewer pictures than smaller ones: the size of the first is the size of all.
 *
 * @param {RTCPeerConnection | null} peer
 */
async function keepSize(peer) {
  for (const sender of peer?.getSenders() ?? []) {
    const parameters = sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    await sender.setParameters(parameters);
  }
}

/**
 * Wait until all of this machine's addresses are known. There is no server to ask, so it takes a moment.
 *
 * @param {RTCPeerConnection} peer
 * @returns {Promise<void>}
 */
function gathered(peer) {
  return new Promise((resolve) => {
    const look = () => {
      if (peer.iceGatheringState === "complete") {
        peer.removeEventListener("icegatheringstatechange", look);
        resolve();
      }
    };
    peer.addEventListener("icegatheringstatechange", look);
    look();
  });
}
