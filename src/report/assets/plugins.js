"use strict";
// Chart.js plugins of the report, and how its numbers read.

const SI = [[1e-15, "f"], [1e-12, "p"], [1e-9, "n"], [1e-6, "µ"], [1e-3, "m"], [1, ""]];

// 1.31e-6, "J" → "1.31 µJ".
function siText(value, unit) {
  if (value === 0) return `0 ${unit}`;
  let best = SI[0];
  for (const prefix of SI) if (Math.abs(value) >= prefix[0] * 0.9995) best = prefix;
  return `${Number((value / best[0]).toPrecision(3))} ${best[1]}${unit}`;
}

function bytesText(bytes) {
  for (const [size, unit] of [[2 ** 20, "MiB"], [2 ** 10, "KiB"]])
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))} ${unit}`;
  return `${Number(bytes.toPrecision(3))} B`;
}

function percentText(fraction, digits = 2) {
  return `${(fraction * 100).toFixed(digits)} %`;
}

function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Vertical bars of ± `std` at each point that has one.
const errorBars = {
  id: "errorBars",
  beforeDatasetsDraw(chart) {
    const { ctx, chartArea, scales } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    ctx.lineWidth = 1.5;
    chart.data.datasets.forEach((set, i) => {
      if (!chart.isDatasetVisible(i)) return;
      ctx.strokeStyle = set.borderColor;
      const points = chart.getDatasetMeta(i).data;
      set.data.forEach((point, k) => {
        if (!(point.std > 0) || point.clipped) return;
        const x = points[k].x;
        const top = scales.y.getPixelForValue(point.y + point.std);
        const bottom = scales.y.getPixelForValue(point.y - point.std);
        ctx.beginPath();
        ctx.moveTo(x, top);
        ctx.lineTo(x, bottom);
        for (const y of [top, bottom]) {
          ctx.moveTo(x - 4, y);
          ctx.lineTo(x + 4, y);
        }
        ctx.stroke();
      });
    });
    ctx.restore();
  },
};

// Writes each point's `label` beside it where there is room; what finds none has its tooltip.
const pointLabels = {
  id: "pointLabels",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea } = chart;
    ctx.save();
    ctx.font = `11px ${Chart.defaults.font.family}`;
    ctx.textBaseline = "middle";
    const taken = [];
    const labels = [];
    chart.data.datasets.forEach((set, i) => {
      if (!chart.isDatasetVisible(i)) return;
      chart.getDatasetMeta(i).data.forEach((element, k) => {
        const { x, y } = element;
        taken.push([x - 6, y - 6, x + 6, y + 6]);
        const label = set.data[k].label;
        if (label) labels.push({ x, y, label, color: set.borderColor, first: set.labelFirst });
      });
    });
    labels.sort((a, b) => (b.first ? 1 : 0) - (a.first ? 1 : 0));
    const free = (box) =>
      box[0] >= chartArea.left && box[2] <= chartArea.right + 4 && box[1] >= chartArea.top &&
      box[3] <= chartArea.bottom &&
      taken.every((t) => box[2] <= t[0] || box[0] >= t[2] || box[3] <= t[1] || box[1] >= t[3]);
    for (const { x, y, label, color } of labels) {
      const width = ctx.measureText(label).width;
      const places = [
        [x + 9, y], [x - 9 - width, y], [x - width / 2, y - 14], [x - width / 2, y + 14],
        [x + 7, y - 12], [x + 7, y + 12], [x - 7 - width, y - 12], [x - 7 - width, y + 12],
      ];
      const place = places.find(([px, py]) => free([px - 1, py - 6, px + width + 1, py + 6]));
      if (!place) continue;
      taken.push([place[0] - 1, place[1] - 6, place[0] + width + 1, place[1] + 6]);
      ctx.fillStyle = color;
      ctx.fillText(label, place[0], place[1]);
    }
    ctx.restore();
  },
};

// Writes the sum of a stacked bar behind its end.
const barTotals = {
  id: "barTotals",
  afterDatasetsDraw(chart) {
    const { ctx, scales } = chart;
    ctx.save();
    ctx.font = `11px ${Chart.defaults.font.family}`;
    ctx.textBaseline = "middle";
    ctx.fillStyle = themeColor("--soft");
    chart.data.labels.forEach((_, row) => {
      let total = 0;
      let y = 0;
      chart.data.datasets.forEach((set, i) => {
        if (chart.isDatasetVisible(i)) total += set.data[row];
        y = chart.getDatasetMeta(i).data[row].y;
      });
      const text = siText(total * 1e-12, "J");
      ctx.fillText(text, scales.x.getPixelForValue(total) + 6, y);
    });
    ctx.restore();
  },
};
