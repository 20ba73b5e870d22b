// The views together: slices, surfaces and marks follow the workspace; a second side shows another adapter's answers.

import { PLANES, SliceView } from "./slice_view.js";
import { SurfaceView } from "./surface_view.js";
import { Marks } from "./marks.js";

const element = (id) => document.getElementById(id);

export class Stage {
  /**
   * @param {Workspace} workspace
   * @param {Tools} tools
   */
  constructor(workspace, tools) {
    Object.assign(this, { workspace, tools });
    this.view = new SliceView(element("slices"));
    this.surfaces = new SurfaceView(element("surfaces"));
    this.marks = new Marks(element("marks"), this.view);
    this.other = null; // {view, marks, structures} while another adapter's answers are shown beside
    this.layout = "four";
    this.opacity = 0.5;
    this.outlined = false;
    this.shown = true;
  }

  async start() {
    await this.view.start();
    this.tools.attach(this.view, this.marks);
    this.tools.onWindow = ({ low, high }) => this.setWindow(low, high);
    this.tools.onLarge = (plane) => this.setLayout(this.layout === "four" ? PLANES[plane] : "four");
    this.view.addEventListener("view", () => this.other?.view.isOpen && this.other.view.follow(this.view));
    this.workspace.addEventListener("masks", ({ detail }) => this.showMasks(detail));
    this.workspace.addEventListener("colours", () => this.showColours());
    ["structures", "problem"].forEach((name) => this.workspace.addEventListener(name, () => this.showSaid()));
    new ResizeObserver(() => this.marks.draw()).observe(this.marks.canvas);
  }

  async open() {
    const { volume, grid, file } = this.workspace;
    await this.setCompare(null);
    await this.view.open(grid, file, volume.display);
    this.surfaces.open(grid);
    this.view.setCrosshair(grid.shape.map((length) => Math.floor(length / 2)));
    this.colourKey = "";
    this.setDisplay({});
    this.showSaid();
    this.showTags();
  }

  setWindow(low, high) {
    this.view.setWindow(low, high);
    this.other?.view.setWindow(low, high);
    this.onWindow?.({ low, high });
  }

  /** @param {"four"|"axial"|"coronal"|"sagittal"} layout - "four" has a quarter for 3-D, which two sides have not. */
  setLayout(layout) {
    this.layout = layout;
    element("surface-box").hidden = layout !== "four" || this.other !== null;
    this.view.setLayout(layout);
    this.other?.view.setLayout(layout);
    this.showTags();
    this.onLayout?.(layout);
  }

  setRadiological(radiological) {
    this.view.setRadiological(radiological);
    this.other?.view.setRadiological(radiological);
    this.showTags();
  }

  /** @param {{opacity?: number, outlined?: boolean, shown?: boolean}} change */
  setDisplay(change) {
    Object.assign(this, change);
    const filled = this.shown && !this.outlined ? this.opacity : 0;
    this.sides.forEach(({ view }) => view.isOpen && view.setDisplay(filled, this.shown ? 1 : 0));
  }

  /** The open sides: their view and the structures that they show. */
  get sides() {
    const own = { view: this.view, structures: this.workspace.structures };
    return this.other ? [own, this.other] : [own];
  }

  showMasks(box) {
    if (!this.view.isOpen) return;
    if (box) this.workspace.writeLabels(this.view.labels, box);
    if (this.colourKey === this.colourKeyNow()) this.view.refreshLabels(box);
    else this.showColours();
    this.surfaces.update(this.view.labels, this.colours);
  }

  get colours() {
    return this.workspace.structures.map(({ id, colour }) => ({ label: id, colour }));
  }

  colourKeyNow() {
    return this.colours.map(({ label, colour }) => label + colour).join();
  }

  showColours() {
    if (!this.view.isOpen) return;
    this.colourKey = this.colourKeyNow();
    this.sides.forEach(({ view }) => view.isOpen && view.setColours(this.colours));
    this.surfaces.update(this.view.labels, this.colours);
  }

  /** Draw what was said of the active structure. */
  showSaid() {
    if (!this.view.isOpen) return;
    const { active } = this.workspace;
    const said = { points: [], box: null, strokes: [] };
    if (active) {
      const { points, labels, box } = active.prompt;
      said.points = points.map((voxel, place) => ({ voxel: voxel.map(Math.round), positive: labels[place] === 1 }));
      said.box = box && [box.slice(0, 3), box.slice(3)];
      said.strokes = this.workspace.strokes(active.id);
    }
    this.marks.show(said);
    this.other?.marks.show(said);
  }

  showTags() {
    const button = element("convention");
    button.hidden = !this.view.isOpen;
    button.textContent = this.view.radiological
      ? "Radiological: the patient's right is on the left"
      : "Neurological: the patient's left is on the left";
  }

  /**
   * Show another adapter's answers beside the session's; null ends it.
   *
   * @param {?string} adapter
   */
  async setCompare(adapter) {
    element("right").hidden = adapter === null;
    element("stage").classList.toggle("comparing", adapter !== null);
    if (adapter === null) {
      if (!this.other) return;
      this.other.view.close();
      this.other = null;
      this.setLayout(this.layoutBefore);
      return;
    }
    if (!this.other) {
      this.layoutBefore = this.layout;
      await this.openOther();
      this.setLayout(this.layout === "four" ? PLANES[this.tools.plane] : this.layout);
    }
    this.other.adapter = adapter;
    await this.compareNow();
  }

  async openOther() {
    this.otherView ??= new SliceView(element("other-slices"));
    if (!this.otherMarks) {
      await this.otherView.start();
      this.otherMarks = new Marks(element("other-marks"), this.otherView);
      this.tools.attach(this.otherView, this.otherMarks);
      this.otherView.addEventListener("view", () => this.other && this.view.follow(this.otherView));
    }
    const { grid, file } = this.workspace;
    await this.otherView.open(grid, file, this.view.window);
    this.otherView.setRadiological(this.view.radiological);
    this.other = { view: this.otherView, marks: this.otherMarks, structures: [] };
    this.setDisplay({});
    this.showSaid();
  }

  /** Ask the other adapter what was asked of this one. */
  compareNow() {
    const { other, workspace } = this;
    return workspace.queue(async () => {
      const asked = workspace.structures.filter(({ can_undo: answered, visible }) => answered && visible);
      other.structures = [];
      for (const { id } of asked) other.structures.push(await workspace.compare(id, other.adapter));
      if (this.other !== other) return;
      workspace.writeLabels(other.view.labels, undefined, other.structures);
      this.showColours();
      this.onCompared?.(other.structures);
    });
  }
}

/** Dice of two masks; null where both are empty. */
export function dice(one, other) {
  let [both, sum] = [0, 0];
  one.forEach((voxel) => {
    sum += 1;
    both += other.has(voxel);
  });
  other.forEach(() => { sum += 1; });
  return sum ? (2 * both) / sum : null;
}
