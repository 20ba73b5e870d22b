// The structures in three dimensions, drawn from a label map of at most 96 voxels along each axis, when nothing else is to be done.

import { Grid } from "./geometry.js";
import { niftiFile } from "./nifti.js";
import { showFiles } from "./niivue_tuning.js";

const MOST = 96;
const DELAY = 350;

export class SurfaceView {
  /** @param {HTMLCanvasElement} canvas - turned by dragging, enlarged by the wheel. */
  constructor(canvas) {
    this.canvas = canvas;
    this.nv = new window.niivue.Niivue({
      interactive: false,
      dragAndDropEnabled: false,
      sliceType: 4,
      loadingText: "",
      logLevel: "error",
      backColor: [0.043, 0.055, 0.071, 1],
      show3Dcrosshair: false,
      isOrientCube: true,
      isOrientationTextVisible: false,
    });
    this.timer = null;
    this.opened = null;
    canvas.addEventListener("pointerdown", (event) => this.turn(event));
    canvas.addEventListener("wheel", (event) => this.enlarge(event), { passive: false });
  }

  /** Make ready, which costs a second without a graphics card: only once there is something to show. */
  async start() {
    await this.nv.attachToCanvas(this.canvas);
    this.nv.setClipPlane([2, 0, 0]); // none
    this.start = async () => {};
  }

  /** @param {Grid} grid - of the labels that `update` will bring. */
  open(grid) {
    clearTimeout(this.timer);
    this.grid = grid;
    this.opened = null;
    this.canvas.hidden = true;
  }

  async show() {
    await this.start();
    const { grid } = this;
    this.steps = grid.shape.map((length) => Math.ceil(length / MOST));
    const shape = grid.shape.map((length, axis) => Math.ceil(length / this.steps[axis]));
    const affine = grid.affine.slice(0, 3).map((row) => [...row.slice(0, 3).map((value, axis) => value * this.steps[axis]), row[3]]);
    this.small = new Grid(shape, [...affine, [0, 0, 0, 1]]);
    await showFiles(this.nv, [{ name: "labels.nii", file: niftiFile(this.small, "uint8", new Uint8Array(this.small.size)) }]);
    this.nv.scene.renderAzimuth = 160;
    this.nv.scene.renderElevation = 12;
  }

  /**
   * Show a label map soon, unless a newer one comes first.
   *
   * @param {Uint8Array} labels - the whole grid.
   * @param {Array<{label: number, colour: string}>} colours - as #rrggbb.
   */
  update(labels, colours) {
    clearTimeout(this.timer);
    if (!colours.length && !this.opened) return;
    this.timer = setTimeout(async () => {
      const { grid } = this;
      if (!this.opened && !labels.some((label) => label > 0)) return;
      this.canvas.hidden = false;
      this.opened ??= this.show();
      await this.opened;
      if (grid !== this.grid) return;
      const [volume] = this.nv.volumes;
      sample(labels, this.grid, this.steps, this.small, volume.img);
      volume.setColormapLabel(table(colours));
      this.nv.updateGLVolume();
    }, DELAY);
  }

  draw() {
    this.nv.drawScene();
  }

  turn(event) {
    this.canvas.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    const move = (moved) => {
      const { scene } = this.nv;
      scene.renderAzimuth -= (moved.clientX - x) * 0.6;
      scene.renderElevation = Math.min(90, Math.max(-90, scene.renderElevation + (moved.clientY - y) * 0.6));
      [x, y] = [moved.clientX, moved.clientY];
      this.draw();
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", () => this.canvas.removeEventListener("pointermove", move), { once: true });
  }

  enlarge(event) {
    event.preventDefault();
    const { scene } = this.nv;
    scene.volScaleMultiplier = Math.min(3, Math.max(0.4, scene.volScaleMultiplier * (event.deltaY < 0 ? 1.1 : 1 / 1.1)));
    this.draw();
  }
}

/** Every n-th voxel along each axis. */
function sample(labels, grid, steps, small, target) {
  let place = 0;
  for (let z = 0; z < small.shape[2]; z += 1) {
    for (let y = 0; y < small.shape[1]; y += 1) {
      let source = grid.offset([0, y * steps[1], z * steps[2]]);
      for (let x = 0; x < small.shape[0]; x += 1, source += steps[0]) target[place++] = labels[source];
    }
  }
}

/** NiiVue's table of label colours; what is not structure is clear. */
function table(colours) {
  const rows = [{ label: 0, colour: "#000000" }, ...colours];
  const byte = (shift) => rows.map(({ colour }) => (parseInt(colour.slice(1), 16) >> shift) & 255);
  return { R: byte(16), G: byte(8), B: byte(0), A: rows.map(({ label }) => (label ? 255 : 0)), I: rows.map(({ label }) => label) };
}
