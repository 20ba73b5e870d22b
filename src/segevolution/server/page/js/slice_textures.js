// What NiiVue's slices are coloured from: intensities and labels as textures of our own, in place of NiiVue's.
//
// NiiVue renders each volume into colours anew when its window or a label changes, all voxels at a time: seconds without a
// graphics card. Here the window is a number that the shader reads, and only the box that changed is sent again.

const UNITS = { volume: 0, overlay: 2 }; // where NiiVue binds `volumeTexture` and `overlayTexture`

/** One `uniform` a line: NiiVue finds their names so. Labels have a soft edge, and a line along it. */
const SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform highp sampler3D volume;
uniform highp sampler3D overlay;
uniform float overlayAlphaShader;
uniform float overlayOutlineWidth;
uniform vec2 window;
in vec3 texPos;
out vec4 color;
void main() {
  float grey = clamp((texture(volume, texPos).r - window.x) / (window.y - window.x), 0.0, 1.0);
  vec4 label = texture(overlay, texPos);
  vec3 tint = label.a > 0.0 ? label.rgb / label.a : vec3(0.0);
  float filled = smoothstep(0.35, 0.65, label.a) * overlayAlphaShader;
  float line = step(0.02, label.a) * overlayOutlineWidth * (1.0 - smoothstep(0.6, 1.7, abs(label.a - 0.5) / max(fwidth(label.a), 1e-4)));
  color = vec4(mix(vec3(grey), tint, max(filled, line)), 1.0);
}`;

export class SliceTextures {
  /** @param {Niivue} nv - attached to its canvas. */
  constructor(nv) {
    this.nv = nv;
    nv.setCustomSliceShader(SHADER);
    this.palette = new Uint32Array(256);
  }

  /**
   * Take the first volume that NiiVue has made ready.
   *
   * @param {{low: number, high: number}} display - intensities near its middle are kept most precisely (as half floats).
   */
  open(display) {
    const { nv } = this;
    const [volume] = nv.volumes;
    this.order = { shape: volume.dimsRAS.slice(1, 4), start: volume.img2RASstart, step: volume.img2RASstep, permutation: volume.permRAS };
    this.middle = (display.low + display.high) / 2;
    this.width = Math.max(display.high - display.low, 1e-6);
    const { gl } = nv;
    gl.deleteTexture(nv.volumeTexture);
    if (nv.overlayTexture) gl.deleteTexture(nv.overlayTexture);
    nv.volumeTexture = this.allocate(UNITS.volume, gl.R16F);
    this.upload(volume.img);
    nv.overlayTexture = this.allocate(UNITS.overlay, gl.RGBA8);
    this.setWindow(display.low, display.high);
  }

  allocate(unit, format) {
    const { gl } = this.nv;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER].forEach((filter) => gl.texParameteri(gl.TEXTURE_3D, filter, gl.LINEAR));
    [gl.TEXTURE_WRAP_R, gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T].forEach((axis) => gl.texParameteri(gl.TEXTURE_3D, axis, gl.CLAMP_TO_EDGE));
    gl.texStorage3D(gl.TEXTURE_3D, 1, format, ...this.order.shape);
    return texture;
  }

  /** Send all intensities, slice by slice. */
  upload(voxels) {
    const { gl } = this.nv;
    const { shape: [width, height, depth], start, step } = this.order;
    const slice = new Float32Array(width * height);
    gl.activeTexture(gl.TEXTURE0 + UNITS.volume);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    for (let z = 0; z < depth; z += 1) {
      let place = 0;
      for (let y = 0; y < height; y += 1) {
        let source = start[0] + start[1] + start[2] + y * step[1] + z * step[2];
        for (let x = 0; x < width; x += 1, source += step[0]) slice[place++] = (voxels[source] - this.middle) / this.width;
      }
      gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, z, width, height, 1, gl.RED, gl.FLOAT, slice);
    }
  }

  setWindow(low, high) {
    const { gl, customSliceShader: shader } = this.nv;
    shader.use(gl);
    gl.uniform2f(shader.uniforms.window, (low - this.middle) / this.width, (high - this.middle) / this.width);
  }

  /** @param {Array<{label: number, colour: string}>} entries - colours as #rrggbb; labels without one are clear. */
  setColours(entries) {
    this.palette.fill(0);
    for (const { label, colour } of entries) {
      const value = parseInt(colour.slice(1), 16);
      this.palette[label] = (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
    }
  }

  /** @param {number} opacity - of the fillings, 0 to 1. @param {number} line - of the outlines. */
  setDisplay(opacity, line) {
    this.nv.overlayAlphaShader = opacity;
    this.nv.overlayOutlineWidth = line;
  }

  /**
   * Send a box of the label map.
   *
   * @param {Uint8Array} labels - in file order, x fastest.
   * @param {number[][]} box - [low, high) in voxels of the file's grid.
   */
  writeLabels(labels, [low, high]) {
    const { gl } = this.nv;
    const { shape, start, step, permutation } = this.order;
    const from = [0, 1, 2].map((axis) => {
      const file = Math.abs(permutation[axis]) - 1;
      return permutation[axis] > 0 ? low[file] : shape[axis] - high[file];
    });
    const size = permutation.slice(0, 3).map((signed) => high[Math.abs(signed) - 1] - low[Math.abs(signed) - 1]);
    const colours = new Uint32Array(size[0] * size[1] * size[2]);
    let place = 0;
    for (let z = from[2]; z < from[2] + size[2]; z += 1) {
      for (let y = from[1]; y < from[1] + size[1]; y += 1) {
        let source = start[0] + start[1] + start[2] + from[0] * step[0] + y * step[1] + z * step[2];
        for (let x = 0; x < size[0]; x += 1, source += step[0]) colours[place++] = this.palette[labels[source]];
      }
    }
    gl.activeTexture(gl.TEXTURE0 + UNITS.overlay);
    gl.bindTexture(gl.TEXTURE_3D, this.nv.overlayTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...from, ...size, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(colours.buffer));
  }
}
