// The live chart and the small ones, drawn by uPlot. Columns are shared arrays; a null is a gap.
import uPlot from "/web/vendor/uplot/uPlot.esm.js";

const BEYOND = 1e4; // drawn in place of an upper end that has no bound, far outside every scale
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = "11px system-ui, sans-serif";
const SEVERITY = { critical: "--fire", warning: "--hot", info: "--slate" };

function span(element) {
  return { width: Math.max(40, Math.floor(element.clientWidth)), height: Math.max(40, Math.floor(element.clientHeight)) };
}

function follow(plot, element) {
  new ResizeObserver(() => {
    const size = span(element);
    if (size.width !== plot.width || size.height !== plot.height) plot.setSize(size);
  }).observe(element);
}

// The scale keeps 1 (no effect) in sight and cuts a band that runs away, or the line would be flat.
function amplificationRange(plot) {
  const [, line, low, high] = plot.data;
  let bottom = 1, top = 1, bandBottom = 1, bandTop = 1;
  for (let i = 0; i < line.length; i += 1) {
    if (line[i] !== null) { bottom = Math.min(bottom, line[i]); top = Math.max(top, line[i]); }
    if (low[i] !== null) bandBottom = Math.min(bandBottom, low[i]);
    if (high[i] !== null) bandTop = Math.max(bandTop, high[i]);
  }
  const room = Math.max(0.05, 1.5 * (top - bottom));
  const from = Math.max(bandBottom, bottom - room), to = Math.min(bandTop, top + room);
  const margin = 0.08 * (to - from) + 0.005;
  return [Math.max(0, from - margin), to + margin];
}

function markings(marks) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const one = plot.valToPos(1, "y", true);
    ctx.strokeStyle = colour("--faint");
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 4 * ratio]);
    ctx.beginPath(); ctx.moveTo(bbox.left, one); ctx.lineTo(bbox.left + bbox.width, one); ctx.stroke();
    ctx.setLineDash([]);
    for (const mark of marks()) {
      const x = plot.valToPos(mark.at, "x", true);
      ctx.strokeStyle = colour(SEVERITY[mark.severity] ?? "--slate");
      ctx.globalAlpha = 0.55;
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.fillStyle = ctx.strokeStyle;
      ctx.beginPath(); ctx.arc(x, bbox.top + 5 * ratio, 3.5 * ratio, 0, 2 * Math.PI); ctx.fill();
    }
    ctx.restore();
  };
}

export function amplificationChart(element, marks) {
  const axis = { stroke: () => colour("--soft"), font: FONT, grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false } };
  const edge = { stroke: "transparent", width: 0, points: { show: false } };
  const plot = new uPlot({
    ...span(element),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    scales: { x: { time: true }, y: { range: (self) => amplificationRange(self) } },
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
    axes: [
      { ...axis, space: 70, size: 28, values: "{HH}:{mm}:{ss}" },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => `${tick.toFixed(2)}×`) },
    ],
    series: [
      {},
      { stroke: () => colour("--calm"), width: 2.25, points: { show: false }, spanGaps: false },
      edge,
      edge,
    ],
    bands: [{ series: [3, 2], fill: () => colour("--band") }],
    hooks: { draw: [markings(marks)] },
  }, [[], [], [], []], element);
  follow(plot, element);
  return {
    draw(columns) {
      const high = columns.amplification_high.map((value, i) =>
        (value === null && columns.amplification_low[i] !== null ? BEYOND : value));
      plot.setData([columns.time_s, columns.amplification, columns.amplification_low, high]);
    },
  };
}

export function sparkline(element, column) {
  const plot = new uPlot({
    ...span(element),
    scales: { x: { time: false }, y: { range: (_, low, high) => {
      if (low === null) return [0, 1];
      const middle = (low + high) / 2, half = Math.max((high - low) / 2, 1e-3 * Math.abs(middle), 1e-12) * 1.15;
      return [middle - half, middle + half];
    } } },
    legend: { show: false },
    cursor: { show: false },
    axes: [{ show: false }, { show: false }],
    padding: [4, 0, 4, 0],
    series: [{}, { stroke: () => colour("--soft"), width: 1.6, points: { show: false } }],
  }, [[], []], element);
  follow(plot, element);
  return { draw: (columns) => plot.setData([columns.time_s, columns[column]]) };
}
