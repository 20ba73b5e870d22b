// Masks as the server sends them (runs in a box), kept apart for each structure, and joined into one label map.

import { union } from "./geometry.js";

/** Numbers of a run-length code: base64 of unsigned 32-bit little-endian integers. */
export function decodeRuns(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Uint32Array(bytes.buffer);
}

/** The run-length code, in base64, of voxels that are 0 or 1. */
export function encodeRuns(voxels) {
  const runs = [];
  let value = 0;
  let length = 0;
  for (const voxel of voxels) {
    if (voxel === value) {
      length += 1;
    } else {
      runs.push(length);
      value = voxel;
      length = 1;
    }
  }
  runs.push(length);
  const bytes = new Uint8Array(Uint32Array.from(runs).buffer);
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

/** The voxels of one structure: a box of the grid, half-open, and one byte for each voxel in it, x fastest. */
export class Mask {
  constructor() {
    this.box = null;
    this.voxels = new Uint8Array(0);
  }

  /**
   * Take a change that the server sent: inside its box all voxels are new.
   *
   * @param {?{box: number[][], runs: string}} change
   * @returns {?number[][]} the box that changed, [low, high).
   */
  apply(change) {
    if (change === null) return null;
    const low = change.box.map(([start]) => start);
    const high = change.box.map(([, end]) => end);
    const [width, rows] = [high[0] - low[0], high[1] - low[1]];
    this.grow([low, high]);
    let place = 0;
    let on = 0;
    for (const length of decodeRuns(change.runs)) {
      for (let left = length; left > 0;) {
        const x = place % width;
        const line = (place - x) / width;
        const y = line % rows;
        const z = (line - y) / rows;
        const count = Math.min(left, width - x);
        const start = this.offset(low[0] + x, low[1] + y, low[2] + z);
        this.voxels.fill(on, start, start + count);
        place += count;
        left -= count;
      }
      on = 1 - on;
    }
    return [low, high];
  }

  has([x, y, z]) {
    if (!this.box) return false;
    const [low, high] = this.box;
    const inside = [x, y, z].every((index, axis) => index >= low[axis] && index < high[axis]);
    return inside && this.voxels[this.offset(x, y, z)] === 1;
  }

  /** Call for each voxel that is on; the position is one array, written anew each time. */
  forEach(visit) {
    if (!this.box) return;
    const [low, high] = this.box;
    const voxel = [0, 0, 0];
    let place = 0;
    for (voxel[2] = low[2]; voxel[2] < high[2]; voxel[2] += 1) {
      for (voxel[1] = low[1]; voxel[1] < high[1]; voxel[1] += 1) {
        for (voxel[0] = low[0]; voxel[0] < high[0]; voxel[0] += 1) if (this.voxels[place++]) visit(voxel);
      }
    }
  }

  offset(x, y, z) {
    const [low, high] = this.box;
    return x - low[0] + (high[0] - low[0]) * (y - low[1] + (high[1] - low[1]) * (z - low[2]));
  }

  /** Enlarge the box to hold another. */
  grow(box) {
    const larger = union(this.box, box);
    if (this.box && larger.flat().every((value, place) => value === this.box.flat()[place])) return;
    const old = { box: this.box, voxels: this.voxels };
    this.box = larger;
    const [width, rows, slices] = larger[1].map((high, axis) => high - larger[0][axis]);
    this.voxels = new Uint8Array(width * rows * slices);
    if (!old.box) return;
    const [low, high] = old.box;
    let from = 0;
    for (let z = low[2]; z < high[2]; z += 1) {
      for (let y = low[1]; y < high[1]; y += 1) {
        const to = from + high[0] - low[0];
        this.voxels.set(old.voxels.subarray(from, to), this.offset(low[0], y, z));
        from = to;
      }
    }
  }
}

/**
 * Write a box of the label map anew from the masks; where several claim a voxel the last of them has it.
 *
 * @param {Uint8Array} labels - the whole grid, x fastest.
 * @param {Grid} grid
 * @param {Array<{label: number, mask: Mask}>} structures - by rising label.
 * @param {?number[][]} box - [low, high).
 */
export function compose(labels, grid, structures, box) {
  if (!box) return;
  const [low, high] = box;
  for (let z = low[2]; z < high[2]; z += 1) {
    for (let y = low[1]; y < high[1]; y += 1) {
      const start = grid.offset([low[0], y, z]);
      labels.fill(0, start, start + high[0] - low[0]);
    }
  }
  for (const { label, mask } of structures) {
    if (!mask.box) continue;
    const from = low.map((value, axis) => Math.max(value, mask.box[0][axis]));
    const to = high.map((value, axis) => Math.min(value, mask.box[1][axis]));
    for (let z = from[2]; z < to[2]; z += 1) {
      for (let y = from[1]; y < to[1]; y += 1) {
        let source = mask.offset(from[0], y, z);
        let target = grid.offset([from[0], y, z]);
        for (let x = from[0]; x < to[0]; x += 1, source += 1, target += 1) {
          if (mask.voxels[source]) labels[target] = label;
        }
      }
    }
  }
}
