// The slices of one volume on one canvas, drawn by NiiVue: layout, window, label map, crosshair, and what lies where.
//
// NiiVue's `vox` counts in a grid that it has turned to RAS; nothing here hands it out. Places leave as voxels of the
// file's own grid and as RAS+ millimetres.

import { whole } from "./geometry.js";
import { fillTiles, leaveOutShading, showFiles } from "./niivue_tuning.js";
import { SliceTextures } from "./slice_textures.js";

export const AXIAL = 0;
export const CORONAL = 1;
export const SAGITTAL = 2;
export const PLANES = ["axial", "coronal", "sagittal"];

const BACKGROUND = [0.043, 0.055, 0.071, 1];
const ZOOM = { least: 0.5, most: 16 };

/** Where the planes lie on the canvas, as fractions [left, top, width, height]; "four" leaves a quarter for 3-D. */
const LAYOUTS = {
  four: [
    { sliceType: AXIAL, position: [0, 0, 0.4985, 0.4975] },
    { sliceType: CORONAL, position: [0, 0.5025, 0.4985, 0.4975] },
    { sliceType: SAGITTAL, position: [0.5015, 0.5025, 0.4985, 0.4975] },
  ],
  axial: [{ sliceType: AXIAL, position: [0, 0, 1, 1] }],
  coronal: [{ sliceType: CORONAL, position: [0, 0, 1, 1] }],
  sagittal: [{ sliceType: SAGITTAL, position: [0, 0, 1, 1] }],
};

export class SliceView extends EventTarget {
  /** @param {HTMLCanvasElement} canvas - fills its parent. */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.grid = null;
    this.labels = null;
    this.window = null; // {low, high}
    this.layout = "four";
    this.radiological = true;
    this.nv = new window.niivue.Niivue({
      interactive: false,
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      isSliceMM: false,
      loadingText: "",
      logLevel: "error",
      backColor: BACKGROUND,
      crosshairWidth: 0,
      isOrientationTextVisible: false,
    });
    fillTiles(this.nv);
    leaveOutShading(this.nv);
  }

  async start() {
    await this.nv.attachToCanvas(this.canvas);
    this.textures = new SliceTextures(this.nv);
    this.nv.setCustomLayout(LAYOUTS[this.layout]);
  }

  /**
   * Show a volume, and an empty label map on its grid: `labels`, in file order, x fastest.
   *
   * @param {Grid} grid
   * @param {ArrayBuffer} file - the volume as uncompressed NIfTI-1.
   * @param {{low: number, high: number}} window
   */
  async open(grid, file, window) {
    const { nv } = this;
    this.grid = null;
    await showFiles(nv, [{ name: "volume.nii", file }]);
    nv.refreshLayers(nv.volumes[0], 0);
    this.labels = new Uint8Array(grid.size);
    this.textures.open(window);
    this.window = { ...window };
    this.grid = grid;
    nv.scene.pan2Dxyzmm = new Float32Array([0, 0, 0, 1]);
    nv.scene.crosshairPos = new Float32Array([0.5, 0.5, 0.5]);
    this.setLayout(this.layout);
  }

  close() {
    Object.assign(this.nv, { volumes: [], back: null, overlays: [] });
    this.grid = null;
  }

  get isOpen() {
    return this.grid !== null;
  }

  /** Intensity of a voxel of the file's grid. */
  intensity(voxel) {
    return this.nv.volumes[0].img[this.grid.offset(voxel)];
  }

  /** The least and the greatest intensity. */
  get range() {
    const [volume] = this.nv.volumes;
    return { low: volume.global_min, high: volume.global_max };
  }

  setWindow(low, high) {
    this.window = { low, high: Math.max(high, low + 1e-6) };
    this.textures.setWindow(low, this.window.high);
    this.draw();
  }

  /**
   * Colours of the labels.
   *
   * @param {Array<{label: number, colour: string}>} entries - colours as #rrggbb; labels without one are clear.
   */
  setColours(entries) {
    this.textures.setColours(entries);
    this.refreshLabels(whole(this.grid));
  }

  /** @param {number} opacity - of the labels, 0 to 1. @param {number} line - of their outlines. */
  setDisplay(opacity, line) {
    this.textures.setDisplay(opacity, line);
    this.draw();
  }

  /** Bring a box of `labels`, which was changed, to the screen. */
  refreshLabels(box) {
    if (box) this.textures.writeLabels(this.labels, box);
    this.draw();
  }

  /** @param {"four"|"axial"|"coronal"|"sagittal"} name */
  setLayout(name) {
    this.layout = name;
    this.nv.setCustomLayout(LAYOUTS[name]);
    this.dispatchEvent(new Event("view"));
  }

  setRadiological(radiological) {
    this.radiological = radiological;
    this.nv.opts.isRadiologicalConvention = radiological; // `setRadiologicalConvention` would make all textures anew
    this.draw();
  }

  draw() {
    this.nv.drawScene();
    this.dispatchEvent(new Event("view"));
  }

  /** The crosshair's voxel in the file's grid. */
  get crosshair() {
    return this.grid.toVoxel(this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true));
  }

  /** Move the crosshair to the centre of a voxel, as near as the grid allows. */
  setCrosshair(voxel) {
    const inside = voxel.map((index, axis) => Math.min(Math.max(index, 0), this.grid.shape[axis] - 1));
    this.nv.scene.crosshairPos = this.nv.mm2frac(this.grid.toMm(inside), 0, true);
    this.draw();
    this.dispatchEvent(new Event("crosshair"));
  }

  /** Move by slices along the axis that a plane cuts; positive is towards superior, anterior or right. */
  step(plane, slices) {
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true);
    const axis = this.fileAxis(plane);
    const voxel = this.grid.toVoxel(mm);
    voxel[axis.index] += axis.sign * slices;
    this.setCrosshair(voxel);
  }

  /** The axis of the file's grid that a plane cuts across, and whether its indices grow towards R, A or S. */
  fileAxis(plane) {
    return this.fileAxisOf(2 - plane);
  }

  /** The axis of the file's grid that runs most nearly along R (0), A (1) or S (2). */
  fileAxisOf(world) {
    const signed = this.nv.volumes[0].permRAS[world]; // the axis of the file, from 1, negative where it runs against it
    return { index: Math.abs(signed) - 1, sign: Math.sign(signed) };
  }

  /** The tile under a place in the window: its plane and its number; null outside. */
  tileAt(clientX, clientY) {
    const [x, y] = this.toCanvas(clientX, clientY);
    const tile = this.nv.tileIndex(x, y);
    if (tile < 0) return null;
    return { tile, plane: this.nv.screenSlices[tile].axCorSag };
  }

  /**
   * What lies under a place in the window.
   *
   * @returns {?{voxel: number[], mm: number[], plane: number, tile: number}} null outside the volume.
   */
  pick(clientX, clientY, onTile = null) {
    const [x, y] = this.toCanvas(clientX, clientY);
    const tile = onTile ?? this.nv.tileIndex(x, y);
    if (tile < 0) return null;
    const fraction = this.nv.screenXY2TextureFrac(x, y, tile, true);
    if (fraction[0] < 0) return null;
    const voxel = this.grid.toVoxel(this.nv.frac2mm(fraction, 0, true));
    const inside = voxel.map((index, axis) => Math.min(Math.max(index, 0), this.grid.shape[axis] - 1));
    return { voxel: inside, mm: this.grid.toMm(inside), plane: this.nv.screenSlices[tile].axCorSag, tile };
  }

  /**
   * Where a place lies on the screen, in each plane.
   *
   * @param {number[]} mm
   * @returns {Array<{x: number, y: number, plane: number, tile: number, depth: number}>} CSS pixels from the canvas's
   *   corner; `depth` counts slices between the place and the one that is shown.
   */
  project(mm) {
    const { nv } = this;
    const fraction = nv.mm2frac(mm, 0, true);
    const flat = nv.frac2mm(fraction); // NiiVue draws slices in a frame that is turned to the grid's axes
    const dims = nv.volumes[0].dimsRAS;
    const dpr = nv.uiData.dpr || 1;
    return nv.screenSlices.flatMap((slice, tile) => {
      const plane = slice.axCorSag;
      if (plane > SAGITTAL) return [];
      const across = plane === SAGITTAL ? flat[1] : flat[0];
      const up = plane === AXIAL ? flat[1] : flat[2];
      const axis = 2 - plane;
      const [left, top, width, height] = slice.leftTopWidthHeight;
      const shown = Math.floor(nv.scene.crosshairPos[axis] * dims[axis + 1]);
      return [{
        x: (left + ((across - slice.leftTopMM[0]) / slice.fovMM[0]) * width) / dpr,
        y: (top + (1 - (up - slice.leftTopMM[1]) / slice.fovMM[1]) * height) / dpr,
        plane,
        tile,
        depth: Math.floor(fraction[axis] * dims[axis + 1]) - shown,
      }];
    });
  }

  /** Tiles in CSS pixels: their plane, their rectangle, and whether R (in sagittal slices A) is on the left. */
  get tiles() {
    const dpr = this.nv.uiData.dpr || 1;
    return this.nv.screenSlices.map((slice) => ({
      plane: slice.axCorSag,
      rectangle: slice.leftTopWidthHeight.map((value) => value / dpr),
      mirrored: slice.fovMM[0] < 0, // right (or anterior) lies on the left
    }));
  }

  /** Shift the slices with the pointer. */
  pan(tile, fromX, fromY, toX, toY) {
    const start = this.nv.screenXY2TextureFrac(...this.toCanvas(fromX, fromY), tile, false);
    const end = this.nv.screenXY2TextureFrac(...this.toCanvas(toX, toY), tile, false);
    const before = this.nv.frac2mm(start);
    const after = this.nv.frac2mm(end);
    const { pan2Dxyzmm: view } = this.nv.scene;
    for (let axis = 0; axis < 3; axis += 1) view[axis] += view[3] * (after[axis] - before[axis]);
    this.draw();
  }

  /** Enlarge about the place under the pointer, or about the crosshair. */
  zoom(factor, at = null) {
    const { pan2Dxyzmm: view } = this.nv.scene;
    const zoom = Math.min(Math.max(view[3] * factor, ZOOM.least), ZOOM.most);
    const middle = at ? this.nv.frac2mm(this.nv.mm2frac(at, 0, true)) : this.nv.frac2mm(this.nv.scene.crosshairPos);
    for (let axis = 0; axis < 3; axis += 1) view[axis] += middle[axis] * (view[3] - zoom);
    view[3] = zoom;
    this.draw();
  }

  resetView() {
    this.nv.scene.pan2Dxyzmm = new Float32Array([0, 0, 0, 1]);
    this.draw();
  }

  /** Show the same place, at the same size, as another view of the same volume. */
  follow(other) {
    this.nv.scene.crosshairPos = other.nv.scene.crosshairPos.slice();
    this.nv.scene.pan2Dxyzmm = other.nv.scene.pan2Dxyzmm.slice();
    this.nv.drawScene();
    this.dispatchEvent(new Event("followed"));
  }

  toCanvas(clientX, clientY) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const dpr = this.nv.uiData.dpr || 1;
    return [(clientX - left) * dpr, (clientY - top) * dpr];
  }
}
