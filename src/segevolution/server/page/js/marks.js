// What was said, drawn over the slices: points, boxes, scribbles, and the stroke that is being drawn.

import { AXIAL, SAGITTAL } from "./slice_view.js";

const FADE = 3; // slices from the one shown at which a point is still seen
const GAP = 9; // pixels about the crosshair's middle that stay free
const TITLES = ["Axial", "Coronal", "Sagittal"];
const COLOURS = {
  add: "#63d08a", take: "#ff8a80", box: "#ffd166", edge: "#06121c", crosshair: "#58b7fa99", letter: "#f6dd83", quiet: "#c3ced9",
};

export class Marks {
  /**
   * @param {HTMLCanvasElement} canvas - lies exactly over the view's.
   * @param {SliceView} view
   */
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.said = { points: [], box: null, strokes: [] }; // places in voxels of the file's grid
    this.stroke = null; // what is being drawn: {kind, path: [voxel...], positive, closed}
    ["view", "followed"].forEach((name) => view.addEventListener(name, () => this.draw()));
  }

  show(said) {
    this.said = said;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.view.isOpen) return;
    for (const tile of this.view.tiles) {
      const { plane, rectangle } = tile;
      pen.save();
      pen.beginPath();
      pen.rect(...rectangle);
      pen.clip();
      this.drawCrosshair(pen, plane, rectangle);
      this.drawLetters(pen, tile);
      if (this.said.box) this.drawBox(pen, plane, this.said.box);
      this.said.strokes.forEach((stroke) => this.drawPath(pen, plane, stroke));
      this.said.points.forEach((point) => this.drawPoint(pen, plane, point));
      if (this.stroke?.kind === "box") this.drawBox(pen, plane, this.stroke.corners);
      else if (this.stroke) this.drawPath(pen, plane, this.stroke);
      pen.restore();
    }
  }

  drawCrosshair(pen, plane, [left, top, width, height]) {
    const { x, y } = this.place(plane, this.view.crosshair);
    pen.strokeStyle = COLOURS.crosshair;
    pen.lineWidth = 1;
    pen.beginPath();
    const [column, row] = [Math.round(x) + 0.5, Math.round(y) + 0.5];
    [[left, x - GAP], [x + GAP, left + width]].forEach(([from, to]) => pen.moveTo(from, row) || pen.lineTo(to, row));
    [[top, y - GAP], [y + GAP, top + height]].forEach(([from, to]) => pen.moveTo(column, from) || pen.lineTo(column, to));
    pen.stroke();
  }

  /** The sides of the patient, the plane's name and the slice's number. */
  drawLetters(pen, { plane, rectangle: [left, top, width, height], mirrored }) {
    const [near, far] = plane === SAGITTAL ? ["P", "A"] : ["L", "R"];
    const [upper, lower] = plane === AXIAL ? ["A", "P"] : ["S", "I"];
    const write = (text, x, y, align, colour) => {
      pen.textAlign = align;
      pen.lineWidth = 3;
      pen.strokeStyle = "#000c";
      pen.strokeText(text, x, y);
      pen.fillStyle = colour;
      pen.fillText(text, x, y);
    };
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.font = "600 14px system-ui, 'DejaVu Sans', sans-serif";
    write(mirrored ? far : near, left + 8, top + height / 2, "left", COLOURS.letter);
    write(mirrored ? near : far, left + width - 8, top + height / 2, "right", COLOURS.letter);
    write(upper, left + width / 2, top + 13, "center", COLOURS.letter);
    write(lower, left + width / 2, top + height - 13, "center", COLOURS.letter);
    const { index } = this.view.fileAxis(plane);
    pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    const slice = `${TITLES[plane]}  ${this.view.crosshair[index] + 1} / ${this.view.grid.shape[index]}`;
    write(slice, left + width - 8, top + 13, "right", COLOURS.quiet);
  }

  /** Where a voxel lies in a plane: {x, y, depth}. */
  place(plane, voxel) {
    return this.view.project(this.view.grid.toMm(voxel)).find((spot) => spot.plane === plane);
  }

  drawPoint(pen, plane, { voxel, positive }) {
    const spot = this.place(plane, voxel);
    if (!spot || Math.abs(spot.depth) > FADE) return;
    const here = spot.depth === 0;
    pen.globalAlpha = here ? 1 : 0.55 - 0.12 * Math.abs(spot.depth);
    const radius = here ? 6 : 4;
    pen.beginPath();
    pen.arc(spot.x, spot.y, radius, 0, 7);
    pen.fillStyle = positive ? COLOURS.add : COLOURS.take;
    pen.fill();
    pen.lineWidth = 1.5;
    pen.strokeStyle = COLOURS.edge;
    pen.stroke();
    pen.beginPath();
    pen.moveTo(spot.x - radius / 2, spot.y);
    pen.lineTo(spot.x + radius / 2, spot.y);
    if (positive) {
      pen.moveTo(spot.x, spot.y - radius / 2);
      pen.lineTo(spot.x, spot.y + radius / 2);
    }
    pen.stroke();
    pen.globalAlpha = 1;
  }

  /** @param {number[][]} corners - two opposite voxels, both included. */
  drawBox(pen, plane, corners) {
    const rectangle = this.boxInPlane(plane, corners);
    if (!rectangle) return;
    const { left, top, right, bottom, cut } = rectangle;
    pen.lineWidth = 3.5;
    pen.strokeStyle = "#000a";
    pen.setLineDash([]);
    if (cut) pen.strokeRect(left, top, right - left, bottom - top);
    pen.setLineDash(cut ? [] : [5, 5]);
    pen.lineWidth = cut ? 1.8 : 1.2;
    pen.strokeStyle = COLOURS.box;
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.setLineDash([]);
  }

  /** A box's outline in a plane, in CSS pixels, and whether the slice that is shown cuts it. */
  boxInPlane(plane, corners) {
    const half = [0, 1, 2].map((axis) => (corners[0][axis] <= corners[1][axis] ? 0.5 : -0.5));
    const spots = [corners[0].map((value, axis) => value - half[axis]), corners[1].map((value, axis) => value + half[axis])]
      .map((voxel) => this.place(plane, voxel));
    if (!spots[0] || !spots[1]) return null;
    const { index } = this.view.fileAxis(plane);
    const shown = this.view.crosshair[index];
    const depths = [corners[0][index], corners[1][index]].sort((one, other) => one - other);
    return {
      left: Math.min(spots[0].x, spots[1].x),
      right: Math.max(spots[0].x, spots[1].x),
      top: Math.min(spots[0].y, spots[1].y),
      bottom: Math.max(spots[0].y, spots[1].y),
      cut: shown >= depths[0] && shown <= depths[1],
    };
  }

  drawPath(pen, plane, { path, positive, closed }) {
    const spots = path.map((voxel) => this.place(plane, voxel));
    if (!spots[0] || spots.every(({ depth }) => Math.abs(depth) > 0)) return;
    pen.beginPath();
    spots.forEach(({ x, y }, place) => (place ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (closed) pen.closePath();
    pen.lineJoin = "round";
    pen.lineCap = "round";
    pen.lineWidth = 4.5;
    pen.strokeStyle = "#000a";
    pen.stroke();
    pen.lineWidth = 2.5;
    pen.strokeStyle = positive ? COLOURS.add : COLOURS.take;
    pen.stroke();
    if (closed) {
      pen.globalAlpha = 0.18;
      pen.fillStyle = positive ? COLOURS.add : COLOURS.take;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }
}
