import { heard, t } from "./words.js";

/**
 * The element of that id. Throws when it is not there or of another kind: then page and script do not belong together.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) {
    throw new Error(`#${id} is no ${kind.name}`);
  }
  return element;
}

/**
 * A new element with a text.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** An error whose message is meant for the person at the page. */
export class Told extends Error {}

/**
 * The server's answer to a request. Throws `Told` with the server's own reason for a refusal, or with ours where a
 * browser has only words of its own, such as "Failed to fetch".
 *
 * @param {string} address
 * @param {RequestInit} [what]
 * @returns {Promise<Response>}
 */
export async function told(address, what) {
  const response = await fetch(address, what).catch(() => null);
  if (response === null) {
    throw new Told(t("The server does not answer. Start `barefaced serve` again, and open its new link."));
  }
  if (response.ok) {
    return response;
  }
  if (response.status === 403) {
    throw new Told(t("The server does not know this page any more. Open the link that it printed last."));
  }
  const answer = await response.json().catch(() => ({}));
  throw new Told(answer.message ? heard(answer.message) : t("The server failed. Its window says why."));
}
