/** The languages of the page beside English, whose sentences are the keys of all others. */
const LANGUAGES = ["de", "fr", "es", "zh", "ja"];

/** Where the choice of a language is kept. */
const KEPT = "barefaced-language";

/** The language of the page: the one that was chosen, else the first of the browser's that there is. */
export const language =
  [localStorage.getItem(KEPT) ?? "", ...navigator.languages]
    .map((tag) => tag.toLowerCase().slice(0, 2))
    .find((tag) => tag === "en" || LANGUAGES.includes(tag)) ?? "en";

/** English sentence to the same in the language of the page. @type {Record<string, string>} */
const words = language === "en" ? {} : await (await fetch(`/page/${language}.json`)).json();

/**
 * What the server says, as patterns of whole sentences, the most exact first; `{1}` in a sentence is any text.
 *
 * @type {[RegExp, string][]}
 */
const patterns = Object.keys(words)
  .filter((english) => /\{\d\}/.test(english))
  .sort((one, other) => own(other).length - own(one).length)
  .map((english) => [
    new RegExp(
      `^${english
        .split(/\{\d\}/)
        .map(literally)
        .join("(.+?)")}$`,
      "s",
    ),
    english,
  ]);

/** @param {string} english a sentence, of which all is wanted but the places that are filled in */
function own(english) {
  return english.replace(/\{\d\}/g, "");
}

/** @param {string} text as a part of a pattern that means just this text */
function literally(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/**
 * What the server says, in the language of the page, as far as the catalogue goes: what it quotes stays as it is.
 *
 * @param {string} english
 * @returns {string}
 */
export function heard(english) {
  const said = part(english);
  return said.charAt(0).toLocaleUpperCase(language) + said.slice(1);
}

/**
 * @param {string} english a sentence of the server, or a part of one
 * @returns {string}
 */
function part(english) {
  if (Object.hasOwn(words, english)) {
    return t(english);
  }
  for (const [pattern, sentence] of patterns) {
    const values = pattern.exec(english);
    if (values !== null) {
      return t(sentence, Object.fromEntries(values.slice(1).map((value, place) => [place + 1, part(value)])));
    }
  }
  const [first = "", ...others] = english.split(/(?<=[,;]) /);
  return others.length === 0 ? english : [first, ...others].map(listed).join(" ");
}

/** @param {string} english a part of a list, with the comma or semicolon behind it */
function listed(english) {
  const [, text = "", mark = ""] = /^(.*?)([,;]?)$/s.exec(english) ?? [];
  return part(text) + mark;
}

/**
 * The sentence in the language of the page, its `{names}` filled in.
 *
 * @param {string} english
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(english, values = {}) {
  const sentence = (Object.hasOwn(words, english) ? words[english] : null) ?? english;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Put the texts and names that stand in the document into the language of the page. */
export function translatePage() {
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = /** @type {Text} */ (texts.currentNode);
    const text = node.data.replace(/\s+/g, " ").trim();
    if (text !== "" && node.parentElement?.closest("[translate=no]") === null) {
      node.data = ` ${t(text)} `;
    }
  }
  for (const name of ["aria-label", "alt"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      element.setAttribute(name, t(element.getAttribute(name) ?? ""));
    }
  }
}

/**
 * Keep another language, and open the page in it.
 *
 * @param {string} chosen
 */
export function speak(chosen) {
  localStorage.setItem(KEPT, chosen);
  location.reload();
}
