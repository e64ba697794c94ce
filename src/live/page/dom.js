// Two small helpers for elements.

/** A copy of the first element of a template, by its id. */
export function cloneOf(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

/** Sets an element's text if that is new: a screen reader would else say it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
