// Keys, and the table that explains them and the mouse.

import { make } from "./structure_list.js";

/** [keys as they are shown, what they do]; the page's own handlers are in `listen`. */
const TABLE = [
  ["Mouse on the slices", null],
  ["Left button", "the tool that is chosen"],
  ["Ctrl + left", "the same, taking away"],
  ["Wheel, ↑ ↓", "slices"],
  ["Ctrl + wheel, right drag", "zoom"],
  ["Shift + drag, middle drag", "pan"],
  ["Double-click (Look)", "one view large, and back"],
  ["Drag in the 3-D view", "turn"],
  ["Tools", null],
  ["V", "look around"],
  ["P", "point"],
  ["B", "box"],
  ["S", "scribble"],
  ["L", "lasso"],
  ["W", "window and level"],
  ["T", "add / take away"],
  ["N", "new structure"],
  ["/", "segment by name"],
  ["All else", null],
  ["Ctrl + Z", "undo"],
  ["Ctrl + Shift + Z, Ctrl + Y", "redo"],
  ["1 2 3 4", "four views, axial, coronal, sagittal"],
  ["H", "hide or show all structures"],
  ["O", "outlines or fillings"],
  ["R", "whole image again"],
  ["C", "compare with another model"],
  ["Ctrl + S", "save the label map"],
  ["Page ↑, Page ↓", "ten slices"],
  ["Esc", "drop what is being drawn"],
];

export function fillTable(table) {
  table.replaceChildren(...TABLE.map(([keys, what]) => {
    if (what === null) return make("h3", { textContent: keys });
    const row = make("div");
    const shown = make("span");
    keys.split(", ").forEach((part, place) => {
      if (place) shown.append(", ");
      shown.append(make("kbd", { textContent: part }));
    });
    row.append(shown, make("span", { textContent: what }));
    return row;
  }));
}

/**
 * Call what a key stands for, unless somebody is typing.
 *
 * @param {Object<string, () => void>} actions - by key ("b", "ctrl+z", "arrowup" ...).
 */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input[type=text], input[type=password], input[type=range], select, dialog[open]");
    const command = event.ctrlKey || event.metaKey;
    if (event.altKey || (typing && !(command && event.key.toLowerCase() === "s"))) return;
    const name = `${command ? "ctrl+" : ""}${command && event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`;
    const action = actions[name];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
