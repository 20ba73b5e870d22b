// The list of structures: colour, name, volume, confidence, warnings; the active one with what can be done to it.

const ICONS = {
  shown: '<svg viewBox="0 0 16 16"><path d="M8 3C4.500 3 2 6 1 8c1 2 3.500 5 7 5s6-3 7-5c-1-2-3.500-5-7-5zm0 8a3 3 0 1 1 0-6 3 3 0 0 1 0 6z"/></svg>',
  hidden: '<svg viewBox="0 0 16 16"><path d="M2 2l12 12-1 1-2.300-2.300A7 7 0 0 1 8 13c-3.500 0-6-3-7-5 .5-1 1.400-2.300 2.700-3.300L1 3zm6 1c3.500 0 6 3 7 5-.4.9-1.100 1.900-2 2.800L10.800 8.600A3 3 0 0 0 7.400 5.200L5.900 3.400C6.600 3.100 7.300 3 8 3z"/></svg>',
  remove: '<svg viewBox="0 0 16 16"><path d="m4 3 4 4 4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4-4-4z"/></svg>',
};

const SURE = 0.8; // from here on a confidence is shown as good
const UNSURE = 0.6; // below it as poor

export class StructureList {
  /**
   * @param {HTMLOListElement} list
   * @param {Workspace} workspace
   * @param {{goTo: (structure: object) => void}} actions
   */
  constructor(list, workspace, actions) {
    Object.assign(this, { list, workspace, actions });
    workspace.addEventListener("structures", () => this.render());
  }

  render() {
    const { structures } = this.workspace;
    document.getElementById("empty").hidden = structures.length > 0;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.id : null;
    if (focused && document.activeElement.matches(".name, [type=color]")) return this.refreshFigures();
    this.list.replaceChildren(...structures.map((structure) => this.item(structure)));
    return undefined;
  }

  /** New figures without new fields, while one is being typed in. */
  refreshFigures() {
    for (const structure of this.workspace.structures) {
      const item = this.list.querySelector(`[data-id="${structure.id}"]`);
      if (!item) continue;
      item.querySelector(".figures").replaceWith(figures(structure));
      item.setAttribute("aria-current", String(structure.id === this.workspace.activeId));
    }
  }

  item(structure) {
    const { workspace } = this;
    const active = structure.id === workspace.activeId;
    const item = make("li", { className: `structure${structure.visible ? "" : " hidden"}` });
    item.dataset.id = structure.id;
    item.setAttribute("aria-current", String(active));
    const colour = make("input", { type: "color", value: structure.colour, title: "Colour" });
    colour.setAttribute("aria-label", `Colour of ${structure.name}`);
    colour.addEventListener("change", () => {
      colour.blur();
      workspace.change(structure.id, { colour: colour.value });
    });
    const name = make("input", { className: "name", type: "text", value: structure.name ?? "", title: "Click to rename", spellcheck: false });
    name.setAttribute("aria-label", "Name of the structure");
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") name.blur();
      if (event.key === "Escape") {
        name.value = structure.name;
        name.blur();
      }
    });
    name.addEventListener("blur", () => {
      if (name.value.trim() && name.value.trim() !== structure.name) workspace.change(structure.id, { name: name.value.trim() });
    });
    const eye = icon(structure.visible ? "shown" : "hidden", structure.visible ? "Hide" : "Show", () =>
      workspace.change(structure.id, { visible: !structure.visible }));
    const remove = icon("remove", `Remove ${structure.name}`, () => this.remove(structure));
    const row = make("div", { className: "row" });
    row.append(colour, name, eye, remove);
    item.append(row, figures(structure));
    structure.warnings.forEach((warning) => item.append(make("p", { className: "warning", textContent: `⚠ ${sentence(warning)}`, title: sentence(warning) })));
    if (active) {
      structure.notes.forEach((note) => item.append(make("p", { className: "note", textContent: sentence(note) })));
      item.append(this.buttons(structure));
    }
    item.addEventListener("click", (event) => {
      if (!event.target.closest("button, input") || event.target === name) {
        if (workspace.activeId !== structure.id) {
          workspace.activate(structure.id);
          this.list.querySelector(`[data-id="${structure.id}"]`)?.scrollIntoView({ block: "nearest" });
        }
      }
    });
    return item;
  }

  buttons(structure) {
    const { workspace } = this;
    const row = make("div", { className: "actions" });
    const button = (text, title, disabled, act) => {
      const made = make("button", { textContent: text, title, disabled, type: "button" });
      made.addEventListener("click", act);
      row.append(made);
    };
    button("Ask by name", `Ask the model for "${structure.name}"`, !this.isKnown(structure.name), () => workspace.ask(structure.name));
    button("Go to", "Move the crosshair into it", !structure.voxels, () => this.actions.goTo(structure));
    button("Start over", "Forget all that was said of it", !structure.can_undo, () => workspace.reset(structure.id));
    return row;
  }

  isKnown(name) {
    const { names, free_text: free } = this.workspace.names;
    return free || names.some((entry) => entry.name === name || entry.other_names.includes(name));
  }

  remove(structure) {
    const lost = structure.voxels > 0;
    if (lost && !window.confirm(`Remove ${structure.name}? This cannot be taken back.`)) return;
    this.workspace.remove(structure.id);
  }
}

function figures(structure) {
  const line = make("div", { className: "figures" });
  if (structure.voxels) {
    line.append(make("b", { textContent: millilitres(structure.volume_ml), title: `${structure.voxels.toLocaleString("en")} voxels` }));
  } else {
    line.append(make("span", { textContent: structure.can_undo ? "nothing found" : "nothing said yet" }));
  }
  if (structure.confidence !== null) {
    const title = "The model's own estimate of the overlap with the truth";
    const meter = make("meter", { min: 0, max: 1, low: UNSURE, high: SURE, optimum: 1, value: structure.confidence, title });
    meter.setAttribute("aria-label", "Confidence");
    line.append(meter, make("span", { textContent: `${Math.round(100 * structure.confidence)} % sure`, title }));
  }
  const said = whatWasSaid(structure.prompt);
  if (said) line.append(make("span", { className: "said", textContent: said, title: "What was said of it" }));
  return line;
}

/** Volume with as many digits as mean something. */
export function millilitres(value) {
  return `${value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(value >= 1 ? 3 : 2)} ml`;
}

function whatWasSaid({ text, points, labels, box, scribbles, lasso, mask }) {
  const added = labels.filter((label) => label === 1).length;
  const taken = points.length - added;
  return [
    text && "name", added && `+${added}`, taken && `−${taken}`, box && "box", scribbles && "scribble", lasso && "lasso", mask && "mask",
  ].filter(Boolean).join(" · ");
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

export function make(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

function icon(name, label, act) {
  const button = make("button", { className: "icon", innerHTML: ICONS[name], title: label, type: "button" });
  button.setAttribute("aria-label", label);
  button.addEventListener("click", act);
  return button;
}
