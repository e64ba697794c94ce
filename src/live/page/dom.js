// Helpers for elements.

/** Returns a copy of the first element of the template with this id. */
export function cloneOf(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

/** Sets an element's text only if it is new; otherwise a screen reader would read it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
