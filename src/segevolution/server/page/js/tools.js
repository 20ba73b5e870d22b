// What the mouse does on the slices: one tool at a time on the left button; looking around on the others.

import { AXIAL, SAGITTAL } from "./slice_view.js";

export const TOOLS = {
  navigate: { key: "V", hint: "Look: drag to move the crosshair; double-click makes a view large, and small again." },
  point: { key: "P", hint: "Point: click on the structure to add it; Ctrl+click on what does not belong to it." },
  box: { key: "B", hint: "Box: drag a rectangle round the structure; then drag its edges, in the other views for its depth." },
  scribble: { key: "S", hint: "Scribble: draw a line along the structure; with Ctrl along what does not belong to it." },
  lasso: { key: "L", hint: "Lasso: draw round a part of the structure in one slice; with Ctrl round what does not belong." },
  window: { key: "W", hint: "Window: drag to the sides for contrast (width), up and down for brightness (level)." },
};

const CLICK = 5; // pixels that a click may move
const GRIP = 7; // pixels from a box's edge that still take hold of it

export class Tools {
  /** @param {Workspace} workspace */
  constructor(workspace) {
    this.workspace = workspace;
    this.name = "point";
    this.positive = true;
    this.plane = AXIAL; // the last one that the pointer was over
    this.cancel = () => {}; // drops what is being drawn
    this.onPlace = () => {};
    this.onChange = () => {};
  }

  choose(name) {
    this.name = name;
    this.onChange();
  }

  /** Whether what comes next adds to the structure or takes away from it. */
  toggleSign() {
    this.positive = !this.positive;
    this.onChange();
  }

  /** Let the pointer act on one view and the marks over it. */
  attach(view, marks) {
    const { canvas } = marks;
    canvas.addEventListener("pointerdown", (event) => this.down(event, view, marks));
    canvas.addEventListener("pointermove", (event) => this.hover(event, view, marks));
    canvas.addEventListener("pointerleave", () => this.onPlace(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event, view), { passive: false });
    canvas.addEventListener("dblclick", (event) => {
      const tile = view.isOpen && this.name === "navigate" ? view.tileAt(event.clientX, event.clientY) : null;
      if (tile) this.onLarge?.(tile.plane);
    });
  }

  hover(event, view, marks) {
    if (!view.isOpen) return;
    const found = view.pick(event.clientX, event.clientY);
    if (found) this.plane = found.plane;
    this.onPlace(found);
    if (event.buttons) return;
    const grip = this.name === "box" && found ? this.gripAt(event, marks, found.plane) : null;
    marks.canvas.style.cursor = grip ? (grip.horizontal ? "ew-resize" : "ns-resize") : "";
  }

  wheel(event, view) {
    event.preventDefault();
    if (!view.isOpen) return;
    const found = view.tileAt(event.clientX, event.clientY);
    if (!found || found.plane > SAGITTAL) return;
    if (event.ctrlKey || event.metaKey) {
      view.zoom(Math.exp(-event.deltaY / 400), view.pick(event.clientX, event.clientY)?.mm ?? null);
      return;
    }
    this.turned = (this.turned ?? 0) - event.deltaY;
    const slices = Math.trunc(this.turned / 40);
    this.turned -= slices * 40;
    if (Math.abs(event.deltaY) >= 40) this.turned = 0; // a wheel with notches: one slice a notch
    const step = Math.abs(event.deltaY) >= 40 ? -Math.sign(event.deltaY) : slices;
    if (step) view.step(found.plane, step);
  }

  down(event, view, marks) {
    if (!view.isOpen) return;
    const found = view.tileAt(event.clientX, event.clientY);
    if (!found) return;
    event.preventDefault();
    marks.canvas.focus({ preventScroll: true });
    const gesture = this.gesture(event, view, marks, found);
    if (!gesture) return;
    marks.canvas.setPointerCapture(event.pointerId);
    const move = (moved) => gesture.move?.(moved);
    const stop = (ended) => {
      this.cancel = () => {};
      marks.canvas.removeEventListener("pointermove", move);
      marks.canvas.removeEventListener("pointerup", stop);
      marks.canvas.removeEventListener("pointercancel", cancel);
      if (ended) gesture.end?.(ended);
    };
    const cancel = () => {
      stop(null);
      marks.stroke = null;
      this.workspace.tell("structures"); // draws what was said again
    };
    this.cancel = cancel;
    marks.canvas.addEventListener("pointermove", move);
    marks.canvas.addEventListener("pointerup", stop);
    marks.canvas.addEventListener("pointercancel", cancel);
  }

  /** What a press begins: {move(event), end(event)}. */
  gesture(event, view, marks, found) {
    if (event.button === 1 || (event.button === 0 && event.shiftKey)) return this.panning(event, view, found.tile);
    if (event.button === 2) return this.zooming(event, view);
    if (event.button !== 0) return null;
    const positive = event.ctrlKey || event.metaKey ? !this.positive : this.positive;
    switch (this.name) {
      case "navigate": return this.looking(event, view, found.tile);
      case "point": return this.pointing(event, view, found.tile, positive);
      case "box": return this.boxing(event, view, marks, found);
      case "window": return this.windowing(event, view);
      default: return this.drawing(event, view, marks, found.tile, positive);
    }
  }

  panning(event, view, tile) {
    let [x, y] = [event.clientX, event.clientY];
    return {
      move: (moved) => {
        view.pan(tile, x, y, moved.clientX, moved.clientY);
        [x, y] = [moved.clientX, moved.clientY];
      },
    };
  }

  zooming(event, view) {
    const at = view.pick(event.clientX, event.clientY)?.mm ?? null;
    let y = event.clientY;
    return {
      move: (moved) => {
        view.zoom(Math.exp((y - moved.clientY) / 150), at);
        y = moved.clientY;
      },
    };
  }

  windowing(event, view) {
    const { low, high } = view.window;
    const full = view.range.high - view.range.low;
    const [x, y] = [event.clientX, event.clientY];
    let asked = null;
    return {
      move: (moved) => {
        const width = Math.max((high - low) * Math.exp((moved.clientX - x) / 200), full / 5000);
        const level = (low + high) / 2 + ((moved.clientY - y) / 400) * (high - low);
        if (asked === null) {
          requestAnimationFrame(() => {
            this.onWindow(asked);
            asked = null;
          });
        }
        asked = { low: level - width / 2, high: level + width / 2 };
      },
    };
  }

  looking(event, view, tile) {
    const move = (moved) => {
      const found = view.pick(moved.clientX, moved.clientY, tile);
      if (found) view.setCrosshair(found.voxel);
    };
    move(event);
    return { move };
  }

  pointing(event, view, tile, positive) {
    const start = view.pick(event.clientX, event.clientY, tile);
    if (!start) return null;
    const [x, y] = [event.clientX, event.clientY];
    let dragged = false;
    view.setCrosshair(start.voxel);
    const look = this.looking(event, view, tile);
    return {
      move: (moved) => {
        dragged ||= Math.hypot(moved.clientX - x, moved.clientY - y) > CLICK;
        if (dragged) look.move(moved);
      },
      end: () => {
        if (!dragged) this.workspace.prompt({ kind: "point", position: start.mm, positive, mm: true });
      },
    };
  }

  /** A free line (scribble) or outline (lasso) in one slice. */
  drawing(event, view, marks, tile, positive) {
    const first = view.pick(event.clientX, event.clientY, tile);
    if (!first) return null;
    const closed = this.name === "lasso";
    const stroke = { kind: this.name, path: [first.voxel], positive, closed };
    marks.stroke = stroke;
    marks.draw();
    return {
      move: (moved) => {
        const found = view.pick(moved.clientX, moved.clientY, tile);
        if (!found || found.voxel.every((index, axis) => index === stroke.path.at(-1)[axis])) return;
        stroke.path.push(found.voxel);
        marks.draw();
      },
      end: () => {
        marks.stroke = null;
        if (closed && stroke.path.length < 3) {
          this.workspace.tell("notice", "A lasso is drawn round something: keep the button down and go about it.");
          marks.draw();
          return;
        }
        const places = { [closed ? "outline" : "path"]: stroke.path };
        this.workspace.prompt({ kind: stroke.kind, ...places, positive, mm: false }, stroke);
      },
    };
  }

  boxing(event, view, marks, found) {
    const grip = this.gripAt(event, marks, found.plane);
    const start = view.pick(event.clientX, event.clientY, found.tile);
    if (!grip && !start) return null;
    const corners = grip ? marks.said.box.map((corner) => [...corner]) : [[...start.voxel], [...start.voxel]];
    marks.stroke = { kind: "box", corners };
    const saidBox = marks.said.box;
    marks.said = { ...marks.said, box: null };
    if (!grip) view.setCrosshair(start.voxel);
    return {
      move: (moved) => {
        const over = view.pick(moved.clientX, moved.clientY, found.tile);
        if (!over) return;
        if (grip) {
          corners[grip.corner][grip.axis] = over.voxel[grip.axis];
        } else {
          corners[1] = [...over.voxel];
          deepen(corners, view, found.plane, start.voxel);
        }
        marks.draw();
      },
      end: (ended) => {
        marks.stroke = null;
        const small = Math.hypot(ended.clientX - event.clientX, ended.clientY - event.clientY) <= CLICK;
        if (small) {
          marks.show({ ...marks.said, box: saidBox });
          return;
        }
        marks.show({ ...marks.said, box: corners });
        this.workspace.prompt({ kind: "box", corners, mm: false });
      },
    };
  }

  /** The edge of the box that is said, under the pointer: which corner and which axis of the grid it moves. */
  gripAt(event, marks, plane) {
    const { box } = marks.said;
    if (!box) return null;
    const outline = marks.boxInPlane(plane, box);
    if (!outline) return null;
    const { left, top } = marks.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const inX = x > outline.left - GRIP && x < outline.right + GRIP;
    const inY = y > outline.top - GRIP && y < outline.bottom + GRIP;
    const sides = [
      { horizontal: true, low: true, distance: inY ? Math.abs(x - outline.left) : Infinity },
      { horizontal: true, low: false, distance: inY ? Math.abs(x - outline.right) : Infinity },
      { horizontal: false, low: true, distance: inX ? Math.abs(y - outline.top) : Infinity },
      { horizontal: false, low: false, distance: inX ? Math.abs(y - outline.bottom) : Infinity },
    ].sort((one, other) => one.distance - other.distance);
    const [side] = sides;
    if (side.distance > GRIP) return null;
    const { index: axis } = marks.view.fileAxisOf(side.horizontal ? (plane === SAGITTAL ? 1 : 0) : plane === AXIAL ? 1 : 2);
    const spots = box.map((corner) => marks.place(plane, corner)[side.horizontal ? "x" : "y"]);
    const corner = spots[0] < spots[1] === side.low ? 0 : 1;
    return { ...side, axis, corner };
  }
}

/** Give a box that is drawn in one plane a depth: as deep as its shorter side is long, about the slice. */
function deepen(corners, view, plane, middle) {
  const { spacing, shape } = view.grid;
  const { index } = view.fileAxis(plane);
  const sides = [0, 1, 2].filter((axis) => axis !== index);
  const shorter = Math.min(...sides.map((axis) => Math.abs(corners[1][axis] - corners[0][axis] + 1) * spacing[axis]));
  const half = Math.round(shorter / spacing[index] / 2);
  corners[0][index] = Math.max(middle[index] - half, 0);
  corners[1][index] = Math.min(middle[index] + half, shape[index] - 1);
}
