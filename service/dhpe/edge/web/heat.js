// The colours of the heat map: nothing at zero, one tone above it, another below; between the grid's points by
// straight lines.
const STEPS = 255;
const LOUD = 0.07; // share of points that may have the full tone: those just before a settlement would hide all others

const bytes = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const tone = (name) => bytes(getComputedStyle(document.documentElement).getPropertyValue(name).trim());

const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as ImageData lies in memory

function shades(name) {
  const zero = tone("--card"), full = tone(name);
  return Array.from({ length: STEPS + 1 }, (_, step) => packed(zero.map((from, i) => Math.round(from + (full[i] - from) * step / STEPS))));
}

export const palette = (line) => ({ above: shades("--calm"), below: shades("--hot"), line: packed(tone(line)) });

// The number that has the full tone: of two digits, reached by few.
export function fullOf(grid, from, to) {
  const sizes = grid.rows.flatMap((row) => row.slice(from, to)).map(Math.abs).filter((size) => size > 0).sort((a, b) => a - b);
  if (sizes.length === 0) return 1;
  const size = sizes[Math.floor((1 - LOUD) * (sizes.length - 1))], digit = 10 ** (Math.floor(Math.log10(size)) - 1);
  return Math.ceil(size / digit - 1e-9) * digit;
}

const strength = (value, full) => Math.round(STEPS * Math.min(1, Math.abs(value) / full));

// For each pixel the point before it and the share of the next.
function places(count, positionOf, last) {
  return Array.from({ length: count }, (_, pixel) => {
    const position = Math.min(last, Math.max(0, positionOf((pixel + 0.5) / count)));
    const before = Math.min(last - 1, Math.floor(position));
    return [before, position - before];
  });
}

function positionIn(prices, price) {
  const next = prices.findIndex((one) => one > price);
  if (next <= 0) return next < 0 ? prices.length - 1 : 0;
  return next - 1 + (price - prices[next - 1]) / (prices[next] - prices[next - 1]);
}

// Fills the canvas: time to the right, prices from `low` to `high` upwards, a line where the sign changes.
export function paint(canvas, { prices, rows }, { low, high }, full, colours) {
  const { width, height } = canvas, image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const signs = new Int8Array(width);
  const columns = places(width, (share) => share * (rows.length - 1), rows.length - 1);
  const lines = places(height, (share) => positionIn(prices, high - share * (high - low)), prices.length - 1);
  for (const [y, [p, up]] of lines.entries()) {
    for (const [x, [t, on]] of columns.entries()) {
      const first = rows[t][p] + up * (rows[t][p + 1] - rows[t][p]);
      const second = rows[t + 1][p] + up * (rows[t + 1][p + 1] - rows[t + 1][p]);
      const value = first + on * (second - first), sign = Math.sign(value);
      if (Number.isNaN(value)) continue;
      const crossed = (y > 0 && signs[x] * sign < 0) || (x > 0 && signs[x - 1] * sign < 0);
      signs[x] = sign;
      const shades = value < 0 ? colours.below : colours.above;
      pixels[y * width + x] = crossed ? colours.line : shades[strength(value, full)];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
