// What this page needs otherwise than NiiVue 0.69.0 does it: slices that fill their tiles, no shading of slices, one upload.

/** Let each slice fill its tile, so that there is room when it is enlarged; NiiVue would keep to the image's shape. */
export function fillTiles(nv) {
  const margin = 1.04;
  nv.calculateWidthHeight = (plane, scale, width, height) => [width, height];
  const extent = nv.screenFieldOfViewExtendedVox.bind(nv);
  nv.screenFieldOfViewExtendedVox = (plane) => {
    const field = extent(plane);
    const view = nv.customLayout?.find(({ sliceType }) => sliceType === plane);
    if (!view) return field;
    const aspect = (view.position[2] * nv.gl.canvas.width) / (view.position[3] * nv.gl.canvas.height);
    const wider = Math.max(1, (aspect * field.fovMM[1]) / field.fovMM[0]) * margin;
    const taller = Math.max(1, field.fovMM[0] / (aspect * field.fovMM[1])) * margin;
    [wider, taller].forEach((factor, axis) => {
      const middle = (field.mnMM[axis] + field.mxMM[axis]) / 2;
      field.fovMM[axis] *= factor;
      field.mnMM[axis] = middle - field.fovMM[axis] / 2;
      field.mxMM[axis] = middle + field.fovMM[axis] / 2;
    });
    return field;
  };
}

/**
 * Leave out the gradients that NiiVue computes for shaded surfaces after each change of the first volume's window: slices
 * do not use them, and without a graphics card they take seconds.
 *
 * They are computed over `hdr.dims`, last of all in `refreshLayers`, which reads `opts.gradientOrder` just before: from then
 * on until it returns the header says that the volume is one voxel.
 */
export function leaveOutShading(nv) {
  let refreshed = null;
  Object.defineProperty(nv.opts, "gradientOrder", {
    get() {
      if (refreshed) refreshed.hdr.dims = [3, 1, 1, 1, 1, 1, 1, 1];
      return 1;
    },
  });
  const refresh = nv.refreshLayers.bind(nv);
  nv.refreshLayers = (volume, layer) => {
    const { dims } = volume.hdr;
    refreshed = volume;
    try {
      refresh(volume, layer);
    } finally {
      refreshed = null;
      volume.hdr.dims = dims;
    }
  };
}

/**
 * Show volumes in place of those before, with one upload each; `addVolume` would upload all of them with each.
 *
 * @param {Niivue} nv
 * @param {Array<{name: string, file: ArrayBuffer}>} files - the first is the background.
 */
export async function showFiles(nv, files) {
  const { NVImage } = window.niivue;
  const volumes = [];
  for (const { name, file } of files) volumes.push(await NVImage.loadFromUrl({ url: name, name, buffer: file }));
  nv.volumes = volumes;
  [nv.back] = volumes;
  nv.overlays = volumes.slice(1);
}
