// A field that completes the names of structures: a combobox with a list (WAI-ARIA), by mouse and by keys.

import { make } from "./structure_list.js";

const MOST = 12;

/**
 * Names that fit what was typed, best first: those that begin so, then those with a word that begins so, then those that
 * hold it, also by their other names.
 *
 * @param {Array<{name: string, other_names: string[]}>} names
 * @param {string} typed
 * @returns {Array<{name: string, by: ?string}>} `by` is the other name that fits.
 */
export function matches(names, typed) {
  const wanted = typed.trim().toLowerCase();
  const rank = (name) => {
    const place = name.toLowerCase().indexOf(wanted);
    if (place < 0) return 3;
    return place === 0 ? 0 : name[place - 1] === " " ? 1 : 2;
  };
  return names
    .map(({ name, other_names: others }) => {
      const other = others.map((by) => ({ by, rank: rank(by) })).sort((one, two) => one.rank - two.rank)[0];
      const own = rank(name);
      return other && other.rank < own ? { name, by: other.by, rank: other.rank } : { name, by: null, rank: own };
    })
    .filter((entry) => entry.rank < 3)
    .sort((one, two) => one.rank - two.rank || one.name.localeCompare(two.name))
    .slice(0, MOST);
}

export class Completion {
  /**
   * @param {HTMLFormElement} form - holds the field `#text` and the list `#names`.
   * @param {() => {names: object[], free_text: boolean}} known
   * @param {(name: string) => void} choose
   */
  constructor(form, known, choose) {
    Object.assign(this, { known, choose, chosen: -1, entries: [] });
    this.field = form.querySelector("input");
    this.list = form.querySelector("ul");
    this.field.addEventListener("input", () => this.show());
    this.field.addEventListener("focus", () => this.show());
    this.field.addEventListener("blur", () => this.hide());
    this.field.addEventListener("keydown", (event) => this.key(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.take(this.chosen >= 0 ? this.entries[this.chosen].name : this.field.value);
    });
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // keep the focus in the field
      const item = event.target.closest("li");
      if (item) this.take(item.dataset.name);
    });
  }

  show() {
    this.entries = matches(this.known().names, this.field.value);
    this.chosen = -1;
    this.list.replaceChildren(...this.entries.map(({ name, by }, place) => {
      const item = make("li", { id: `name-${place}` });
      item.setAttribute("role", "option");
      item.dataset.name = name;
      item.append(...marked(name, by ? "" : this.field.value.trim()));
      if (by) item.append(make("span", { textContent: by }));
      return item;
    }));
    this.mark();
    this.list.hidden = !this.entries.length;
    this.field.setAttribute("aria-expanded", String(!this.list.hidden));
  }

  hide() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.entries.length) {
      event.preventDefault();
      if (this.list.hidden) this.show();
      this.chosen = (this.chosen + step + this.entries.length + (this.chosen < 0 && step < 0 ? 1 : 0)) % this.entries.length;
      this.mark();
    } else if (event.key === "Tab" && this.field.value && this.entries.length && !this.list.hidden) {
      event.preventDefault();
      this.field.value = this.entries[Math.max(this.chosen, 0)].name;
      this.show();
    } else if (event.key === "Escape") {
      this.hide();
      this.field.blur();
    }
  }

  mark() {
    [...this.list.children].forEach((item, place) => {
      item.setAttribute("aria-selected", String(place === this.chosen));
      if (place === this.chosen) item.scrollIntoView({ block: "nearest" });
    });
    this.field.setAttribute("aria-activedescendant", this.chosen >= 0 ? `name-${this.chosen}` : "");
  }

  /** Ask for what was typed: the name itself, the only one or the first that begins so. */
  take(typed) {
    const wanted = typed.trim();
    if (!wanted) return;
    const { names } = this.known();
    const same = (name) => name.toLowerCase() === wanted.toLowerCase();
    const exact = names.find(({ name, other_names: others }) => same(name) || others.some(same));
    this.field.value = "";
    this.hide();
    this.field.blur();
    this.choose(exact ? exact.name : wanted.toLowerCase());
  }
}

function marked(name, typed) {
  const place = typed ? name.toLowerCase().indexOf(typed.toLowerCase()) : -1;
  if (place < 0) return [document.createTextNode(name)];
  const label = make("b", { className: "plain" });
  label.append(name.slice(0, place), make("mark", { textContent: name.slice(place, place + typed.length) }), name.slice(place + typed.length));
  return [label];
}
