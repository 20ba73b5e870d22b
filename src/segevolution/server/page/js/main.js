// Joins the parts of the page: what each button, menu and key does.

import { ServerError, keepKey, server, takeKey } from "./api.js";
import { Completion } from "./completion.js";
import { clearErrors, notice } from "./notices.js";
import { Opening, entry } from "./opening.js";
import { presets } from "./presets.js";
import { fillTable, listen } from "./shortcuts.js";
import { Stage, dice } from "./stage.js";
import { StructureList, make, millilitres } from "./structure_list.js";
import { TOOLS, Tools } from "./tools.js";
import { Workspace } from "./workspace.js";

const element = (id) => document.getElementById(id);
const HEARTBEAT = 60000;
const FORMATS = {
  "nii.gz": ["NIfTI (.nii.gz)", "on exactly the image's grid"],
  "seg.nrrd": ["3D Slicer segmentation (.seg.nrrd)", "with names and colours"],
  dcm: ["DICOM SEG (.dcm)", "refers to the series that was opened"],
  "rtstruct.dcm": ["DICOM structure set (.rtstruct.dcm)", "contours in the planes of that series"],
};

const workspace = new Workspace();
const tools = new Tools(workspace);
const stage = new Stage(workspace, tools);
const opening = new Opening(workspace, { stage: element("stage"), file: element("file"), folder: element("folder") });
const structures = new StructureList(element("structures"), workspace, { goTo });
const completion = new Completion(element("ask"), () => workspace.names, (name) => workspace.ask(name));
let adapters = [];
let about = null;

// ---- the bar at the top ----

function wireMenu(button, menu) {
  button.addEventListener("click", () => {
    const { left, bottom } = button.getBoundingClientRect();
    menu.style.left = `${left}px`;
    menu.style.top = `${bottom + 4}px`;
    menu.togglePopover();
  });
  menu.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
}

function fillSave() {
  const dicom = about.formats.labels.includes("dcm");
  element("save-menu").replaceChildren(...Object.entries(FORMATS).map(([format, [title, small]]) => {
    const offered = about.formats.labels.includes(format);
    const reason = format === "dcm" && !dicom ? "the server needs the extra [dicom] for it" : small;
    return entry({ title, small: reason, disabled: !offered, act: () => save(format) });
  }));
}

function save(format) {
  if (!workspace.session) return;
  workspace.queue(async () => {
    const { blob, name } = await workspace.save(format);
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    notice(`Saved ${name}.`);
  });
}

function fillAdapters() {
  const option = ({ id, title, model, adapter, expert_for: expert }) => {
    const textContent = adapter ? `${adapter}${expert.length ? ` (${expert.join(", ")})` : ""}` : `${model.split("/").at(-1)}, no adapter`;
    return make("option", { value: id, textContent, title });
  };
  element("adapter").replaceChildren(...adapters.map(option));
  element("other-adapter").replaceChildren(...adapters.map(option));
}

function fillPresets() {
  const list = presets(workspace.volume.modality, workspace.volume.display, stage.view.range);
  const select = element("preset");
  select.replaceChildren(...list.map(({ name }) => make("option", { value: name, textContent: name })));
  select.onchange = () => {
    const { low, high } = list.find(({ name }) => name === select.value);
    stage.setWindow(low, high);
    showWindow();
  };
  stage.onWindow = ({ low, high }) => {
    const same = list.find((one) => Math.abs(one.low - low) + Math.abs(one.high - high) < 1e-3 * (high - low));
    select.querySelector("[data-own]")?.remove();
    if (!same) {
      const own = make("option", { value: "own", textContent: windowText() });
      own.dataset.own = "";
      select.append(own);
    }
    select.value = same ? same.name : "own";
    showWindow();
  };
}

function windowText() {
  const { low, high } = stage.view.window;
  const digits = high - low < 10 ? 2 : 0;
  return `W ${(high - low).toFixed(digits)} L ${((low + high) / 2).toFixed(digits)}`;
}

function showWindow() {
  element("preset").title = windowText();
  showPlace(lastPlace);
}

async function setCompare(on) {
  if (!workspace.session) return;
  element("compare").setAttribute("aria-pressed", String(on));
  if (!on) {
    await stage.setCompare(null);
    return;
  }
  const others = adapters.filter(({ id }) => id !== workspace.adapter);
  const own = adapters.find(({ id }) => id === workspace.adapter);
  if (!others.length) {
    element("compare").setAttribute("aria-pressed", "false");
    notice("There is no other model or adapter to compare with.");
    return;
  }
  const base = own.adapter ? others.find(({ model, adapter }) => model === own.model && !adapter) : null;
  element("other-adapter").value = (base ?? others.find(({ id }) => id === "base") ?? others[0]).id;
  await stage.setCompare(element("other-adapter").value);
}

function showCompared(compared) {
  const own = adapters.find(({ id }) => id === workspace.adapter);
  const { activeId, active } = workspace;
  const other = compared.find(({ id }) => id === activeId);
  const figures = (one) => {
    if (!one?.voxels) return "";
    return `${millilitres(one.volume_ml)}${one.confidence === null ? "" : `, ${Math.round(100 * one.confidence)} % sure`}`;
  };
  element("left-title").textContent = own?.title ?? "";
  element("left-caption").textContent = figures(active);
  const overlap = other && active ? dice(active.mask, other.mask) : null;
  element("right-caption").textContent = [figures(other), overlap === null ? "" : `Dice with the left ${overlap.toFixed(2)}`].filter(Boolean).join(", ");
}

// ---- the tools at the left ----

function showTool() {
  document.querySelectorAll("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === tools.name)));
  const sign = element("sign");
  sign.setAttribute("aria-pressed", String(!tools.positive));
  sign.querySelector("span").textContent = tools.positive ? "Add" : "Take away";
  sign.querySelector("path").setAttribute("d", tools.positive ? "M12 5v14M5 12h14" : "M5 12h14");
  element("hint").textContent = TOOLS[tools.name].hint;
}

// ---- below: where the pointer is ----

let lastPlace = null;

function showPlace(found) {
  lastPlace = found;
  const { grid } = workspace;
  if (!found || !grid) {
    element("place").textContent = stage.view.isOpen ? windowText() : "";
    return;
  }
  const [x, y, z] = found.mm;
  const axes = [[x, "R", "L"], [y, "A", "P"], [z, "S", "I"]];
  const mm = axes.map(([value, above, below]) => `${value >= 0 ? above : below} ${Math.abs(value).toFixed(1)}`).join("  ");
  const named = workspace.structures.filter(({ mask, visible }) => visible && mask.has(found.voxel)).map(({ name }) => name).join(", ");
  const value = stage.view.intensity(found.voxel);
  const shown = `${Number.isInteger(value) ? value : value.toPrecision(4)}${workspace.volume.modality === "CT" ? " HU" : ""}`;
  element("place").textContent = `${named ? `${named}   ` : ""}${mm} mm   voxel ${found.voxel.join(", ")}   ${shown}   ${windowText()}`;
}

/** Move the crosshair to the voxel of a structure that lies nearest to its centre of mass. */
function goTo({ mask }) {
  const sum = [0, 0, 0];
  let count = 0;
  mask.forEach((voxel) => {
    voxel.forEach((index, axis) => { sum[axis] += index; });
    count += 1;
  });
  if (!count) return;
  let best = null;
  mask.forEach((voxel) => {
    const distance = voxel.reduce((total, index, axis) => total + (index - sum[axis] / count) ** 2, 0);
    if (!best || distance < best.distance) best = { distance, voxel: [...voxel] };
  });
  stage.view.setCrosshair(best.voxel);
}

function addStructure() {
  if (workspace.session) workspace.add();
}

// ---- the workspace's events ----

function wireWorkspace() {
  workspace.addEventListener("opened", async () => {
    clearErrors();
    await stage.open();
    const { volume } = workspace;
    element("welcome").hidden = true;
    element("volume").hidden = false;
    element("volume-name").textContent = volume.name;
    element("volume-name").title = `${volume.name}: ${volume.shape.join(" x ")} voxels of ${volume.spacing.map((side) => Number(side.toFixed(2))).join(" x ")} mm, ${volume.orientation}`;
    element("modality").value = volume.modality ?? "";
    element("adapter").value = workspace.adapter;
    ["save", "adapter", "compare", "preset", "text", "add"].forEach((id) => { element(id).disabled = false; });
    element("compare").setAttribute("aria-pressed", "false");
    fillPresets();
    showPlace(null);
    document.title = `${volume.name} - SegEVOLution`;
    document.body.dataset.ready = volume.id;
    if (volume.modality === null) {
      notice("Nobody said what kind of image this is; choose CT or MRI beside its name, so that the model reads its intensities rightly.", { kind: "warning" });
    }
  });
  workspace.addEventListener("structures", () => {
    element("undo").disabled = !workspace.done.length;
    element("redo").disabled = !workspace.undone.length;
    const { timing } = workspace;
    element("timing").textContent = timing ? `answered in ${(timing.whole / 1000).toFixed(timing.whole < 9950 ? 1 : 0)} s` : "";
  });
  workspace.addEventListener("masks", () => stage.other && stage.compareNow());
  workspace.addEventListener("adapter", () => {
    element("adapter").value = workspace.adapter;
  });
  workspace.addEventListener("busy", () => {
    element("progress").hidden = workspace.pending === 0;
    document.body.dataset.pending = workspace.pending;
  });
  workspace.addEventListener("notice", ({ detail }) => notice(detail, { kind: "warning" }));
  workspace.addEventListener("problem", ({ detail }) => problem(detail));
}

async function problem(error) {
  element("adapter").value = workspace.adapter ?? "";
  if (!(error instanceof ServerError)) {
    console.error(error);
    notice(`The page failed: ${error.message}.`, { kind: "error" });
    return;
  }
  if (error.status === 401) {
    await askForKey();
    return;
  }
  const gone = error.status === 410 && workspace.volume;
  notice(error.message, { kind: "error", action: gone ? { label: "Begin anew", act: () => opening.as(workspace.volume.modality) } : null });
}

async function askForKey() {
  const dialog = element("key-needed");
  dialog.showModal();
  await new Promise((done) => { dialog.addEventListener("close", done, { once: true }); });
  if (!element("key").value) return;
  keepKey(element("key").value);
  element("key").value = "";
  await begin();
}

// ---- all together ----

function wirePage() {
  wireMenu(element("open"), element("open-menu"));
  wireMenu(element("save"), element("save-menu"));
  document.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => tools.choose(button.dataset.tool)));
  document.querySelectorAll("[data-layout]").forEach((button) => button.addEventListener("click", () => stage.setLayout(button.dataset.layout)));
  tools.onChange = showTool;
  tools.onPlace = showPlace;
  stage.onCompared = showCompared;
  stage.onLayout = (layout) => document.querySelectorAll("[data-layout]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.layout === layout)));
  const toggle = (id, option) => {
    element(id).checked = !element(id).checked;
    stage.setDisplay({ [option]: element(id).checked });
  };
  const actions = {
    sign: () => tools.toggleSign(),
    undo: () => workspace.undo(),
    redo: () => workspace.redo(),
    add: addStructure,
    compare: () => setCompare(!stage.other),
    convention: () => stage.view.isOpen && stage.setRadiological(!stage.view.radiological),
    help: () => element("keys").showModal(),
  };
  Object.entries(actions).forEach(([id, act]) => element(id).addEventListener("click", act));
  element("adapter").addEventListener("change", () => workspace.setAdapter(element("adapter").value));
  element("other-adapter").addEventListener("change", () => stage.setCompare(element("other-adapter").value));
  element("modality").addEventListener("change", () => element("modality").value && opening.as(element("modality").value));
  element("opacity").addEventListener("input", () => stage.setDisplay({ opacity: Number(element("opacity").value) }));
  element("outline").addEventListener("change", () => stage.setDisplay({ outlined: element("outline").checked }));
  element("shown").addEventListener("change", () => stage.setDisplay({ shown: element("shown").checked }));
  // The next key is a shortcut again, not a choice in the list.
  document.querySelectorAll("select").forEach((select) => select.addEventListener("change", () => select.blur()));
  fillTable(element("key-table"));
  const step = (slices) => () => stage.view.isOpen && stage.view.step(tools.plane, slices);
  listen({
    ...Object.fromEntries(Object.entries(TOOLS).map(([name, { key }]) => [key.toLowerCase(), () => tools.choose(name)])),
    t: actions.sign, n: addStructure, c: actions.compare, "?": actions.help,
    h: () => toggle("shown", "shown"), o: () => toggle("outline", "outlined"),
    r: () => stage.view.isOpen && stage.view.resetView(),
    "/": () => element("text").focus(),
    1: () => stage.setLayout("four"), 2: () => stage.setLayout("axial"), 3: () => stage.setLayout("coronal"), 4: () => stage.setLayout("sagittal"),
    "ctrl+z": actions.undo, "ctrl+shift+z": actions.redo, "ctrl+y": actions.redo, "ctrl+s": () => save("nii.gz"),
    escape: () => tools.cancel(),
    arrowup: step(1), arrowdown: step(-1), pageup: step(10), pagedown: step(-10),
  });
  window.addEventListener("pagehide", () => workspace.release());
  window.addEventListener("beforeunload", (event) => {
    if (!workspace.saved) event.preventDefault();
  });
  setInterval(() => workspace.stayAlive(), HEARTBEAT);
  showTool();
}

/** Ask the server what it has, and open what the address names. */
async function begin() {
  const fragment = new URLSearchParams(window.location.hash.slice(1));
  takeKey(fragment);
  if (fragment.has("key")) {
    fragment.delete("key");
    history.replaceState(null, "", `${window.location.pathname}${fragment.size ? `#${fragment}` : ""}`);
  }
  try {
    [about, adapters] = await Promise.all([server.about(), server.adapters()]);
    fillSave();
    fillAdapters();
    await opening.offer(element("open-menu"), element("welcome-choices"));
  } catch (error) {
    await problem(error);
    return;
  }
  if (fragment.has("volume")) opening.known(fragment.get("volume"));
  else if (fragment.has("example")) opening.example(fragment.get("example"));
}

async function main() {
  wirePage();
  wireWorkspace();
  try {
    await stage.start();
  } catch (error) {
    notice(`This browser cannot draw the slices: ${error.message}`, { kind: "error" });
    return;
  }
  await begin();
  document.body.dataset.started = "";
}

window.segevolution = { workspace, stage, tools, completion, structures }; // for the tests and the curious
main();
