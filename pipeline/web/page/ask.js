import { find, make } from "./dom.js";

const dialog = find("ask", HTMLDialogElement);
const text = find("ask-text", HTMLElement);
const answers = find("ask-answers", HTMLElement);

/**
 * Ask a question on the page, and wait for the answer.
 *
 * @param {string} question
 * @param {string[]} choices what its buttons say; the last is the one that changes nothing, as Escape does
 * @returns {Promise<number>} the place of the choice
 */
export function ask(question, choices) {
  text.textContent = question;
  answers.replaceChildren();
  return new Promise((resolve) => {
    let chosen = choices.length - 1;
    choices.forEach((choice, place) => {
      const button = make("button", choice);
      button.type = "button";
      button.addEventListener("click", () => {
        chosen = place;
        dialog.close();
      });
      answers.append(button);
    });
    dialog.addEventListener("close", () => resolve(chosen), { once: true });
    dialog.showModal();
  });
}
