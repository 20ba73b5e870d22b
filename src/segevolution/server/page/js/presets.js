// Windows to look through: width and level in HU for CT; for other images, shares of the intensities that there are.

const CT = [
  ["Abdomen", 400, 40], ["Liver", 150, 80], ["Mediastinum", 400, 40], ["Lung", 1500, -600], ["Bone", 2000, 400], ["Brain", 80, 40],
];
const OTHER = [["Soft", 0.005, 1.5], ["Bright", 0.005, 0.6], ["Dark", 0.2, 1.6]];

/**
 * The windows that fit an image.
 *
 * @param {?string} modality
 * @param {{low: number, high: number}} display - the window that the server proposes.
 * @param {{low: number, high: number}} range - the least and the greatest intensity.
 * @returns {Array<{name: string, low: number, high: number}>}
 */
export function presets(modality, display, range) {
  const first = { name: "As opened", ...display };
  const full = { name: "Full range", ...range };
  if (modality === "CT") {
    return [first, ...CT.map(([name, width, level]) => ({ name, low: level - width / 2, high: level + width / 2 })), full];
  }
  const width = display.high - display.low;
  const shares = OTHER.map(([name, low, high]) => ({ name, low: display.low + low * width, high: display.low + high * width }));
  return [first, ...shares, full];
}
