// Voxels and millimetres: a 4 x 4 affine as rows, the grid it belongs to, and boxes of voxels.

/** A grid: its shape (X, Y, Z) in file order and the affine from voxel indices to RAS+ millimetres. */
export class Grid {
  constructor(shape, affine) {
    this.shape = shape;
    this.affine = affine;
    this.inverse = invert(affine);
    this.size = shape[0] * shape[1] * shape[2];
    /** Millilitres of one voxel. */
    this.voxelVolume = Math.abs(determinant(affine)) / 1000;
  }

  /** Millimetres of a position in voxels; [i, j, k] is the centre of a voxel. */
  toMm(voxel) {
    return transform(this.affine, voxel);
  }

  /** The voxel that holds a position in millimetres, not clipped to the grid. */
  toVoxel(mm) {
    return transform(this.inverse, mm).map(Math.round);
  }

  holds(voxel) {
    return voxel.every((index, axis) => index >= 0 && index < this.shape[axis]);
  }

  /** The place of a voxel in an array in file order, where the first axis runs fastest. */
  offset([i, j, k]) {
    return i + this.shape[0] * (j + this.shape[1] * k);
  }

  /** Edge lengths of a voxel in millimetres. */
  get spacing() {
    return [0, 1, 2].map((axis) => Math.hypot(...[0, 1, 2].map((row) => this.affine[row][axis])));
  }
}

/** Rows of a 4 x 4 matrix applied to a position. */
export function transform(matrix, [x, y, z]) {
  return [0, 1, 2].map((row) => matrix[row][0] * x + matrix[row][1] * y + matrix[row][2] * z + matrix[row][3]);
}

function determinant([a, b, c]) {
  return (
    a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
  );
}

function invert(matrix) {
  const [a, b, c] = matrix;
  const scale = 1 / determinant(matrix);
  const rows = [
    [b[1] * c[2] - b[2] * c[1], a[2] * c[1] - a[1] * c[2], a[1] * b[2] - a[2] * b[1]],
    [b[2] * c[0] - b[0] * c[2], a[0] * c[2] - a[2] * c[0], a[2] * b[0] - a[0] * b[2]],
    [b[0] * c[1] - b[1] * c[0], a[1] * c[0] - a[0] * c[1], a[0] * b[1] - a[1] * b[0]],
  ].map((row) => row.map((value) => value * scale));
  const shift = [a[3], b[3], c[3]];
  return rows.map((row) => [...row, -(row[0] * shift[0] + row[1] * shift[1] + row[2] * shift[2])]);
}

/** The box [low, high), by voxels, that holds both; null is the empty box. */
export function union(one, other) {
  if (!one || !other) return one || other;
  return [
    one[0].map((low, axis) => Math.min(low, other[0][axis])),
    one[1].map((high, axis) => Math.max(high, other[1][axis])),
  ];
}

/** The box [low, high) of a whole grid. */
export function whole(grid) {
  return [[0, 0, 0], [...grid.shape]];
}
