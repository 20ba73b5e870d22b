// NIfTI-1 files in memory, which is how NiiVue takes a volume.

const TYPES = {
  uint8: [2, Uint8Array],
  int16: [4, Int16Array],
  int32: [8, Int32Array],
  float32: [16, Float32Array],
  uint16: [512, Uint16Array],
};

/** The typed array that holds voxels of a type named as numpy names it. */
export function arrayOf(dtype) {
  return TYPES[dtype][1];
}

/**
 * An uncompressed NIfTI-1 file.
 *
 * @param {Grid} grid - shape and affine in file order.
 * @param {string} dtype - of `voxels`: uint8, int16, int32, uint16 or float32.
 * @param {TypedArray} voxels - the first axis runs fastest.
 * @returns {ArrayBuffer}
 */
export function niftiFile(grid, dtype, voxels) {
  const [code] = TYPES[dtype];
  const buffer = new ArrayBuffer(352 + voxels.byteLength);
  const header = new DataView(buffer);
  header.setInt32(0, 348, true);
  [3, ...grid.shape, 1, 1, 1, 1].forEach((value, place) => header.setInt16(40 + 2 * place, value, true));
  header.setInt16(70, code, true);
  header.setInt16(72, 8 * voxels.BYTES_PER_ELEMENT, true);
  [1, ...grid.spacing, 1, 1, 1, 1].forEach((value, place) => header.setFloat32(76 + 4 * place, value, true));
  header.setFloat32(108, 352, true);
  header.setFloat32(112, 1, true);
  header.setUint8(123, 2); // millimetres
  header.setInt16(254, 1, true); // the sform holds the scanner's coordinates
  for (let row = 0; row < 3; row += 1) {
    for (let column = 0; column < 4; column += 1) {
      header.setFloat32(280 + 16 * row + 4 * column, grid.affine[row][column], true);
    }
  }
  [0x6e, 0x2b, 0x31, 0x00].forEach((byte, place) => header.setUint8(344 + place, byte)); // "n+1"
  new Uint8Array(buffer, 352).set(new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength));
  return buffer;
}
