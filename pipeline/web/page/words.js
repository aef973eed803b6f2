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
 * The sentence in the language of the page, its `{names}` filled in.
 *
 * @param {string} english
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(english, values = {}) {
  const sentence = words[english] ?? english;
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
