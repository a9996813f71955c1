"use strict";
// Draws the charts of a report from the record that stands in #report-data.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const COMPONENT_COLORS = [
    "#7c5cc4", "#3d83c4", "#2a9d8f", "#8ab35c", "#c76b98", "#e9a23b", "#c8553d", "#8d99a6",
  ];
  const LINE_COLORS = ["#3d83c4", "#e08a2e", "#2a9d8f", "#8d99a6", "#7c5cc4", "#a0763b",
    "#7d9a2f", "#3b3f8f"];
  const COSTS = {
    energy_pj: { title: "energy per image", text: (v) => siText(v * 1e-12, "J") },
    latency_ns: { title: "latency per image", text: (v) => siText(v * 1e-9, "s") },
    digital_weight_bytes: { title: "weights in digital memory", text: bytesText },
  };
  const narrow = () => innerWidth < 720;
  const byId = (id) => document.getElementById(id);
  const charts = [];

  // Accuracy of a mapping at a place; without drift (a single figure, time 0) it holds at any time.
  function accuracyAt(candidate, place) {
    const inSplit = candidate.accuracy.filter((a) => a.split === place.split);
    const exact = inSplit.find((a) => a.t === place.t);
    if (exact) return exact;
    return inSplit.length === 1 && inSplit[0].t === 0 ? inSplit[0] : null;
  }

  // A Chart.js axis in the page's colours; `title` is a text.
  function axis({ title, ticks, ...extra }) {
    const soft = themeColor("--soft");
    const line = themeColor("--line");
    return {
      grid: { color: line, borderColor: line },
      ticks: { color: soft, ...ticks },
      title: { display: Boolean(title), color: soft, text: title ?? "" },
      ...extra,
    };
  }

  const boxLegend = () =>
    ({ position: "bottom", labels: { color: themeColor("--ink"), boxWidth: 12 } });

  function draw(name, config) {
    const holder = document.querySelector(`[data-chart="${name}"]`);
    if (!holder) return;
    if (config.height) holder.style.height = `${config.height}px`;
    config.options = {
      responsive: true, maintainAspectRatio: false, animation: false, ...config.options,
    };
    charts.push(new Chart(holder.querySelector("canvas"), config));
  }

  // Where the accuracy axis starts: below the last mapping that stands with the others. One that
  // broke down would squeeze them all together; null when there is none.
  function accuracyFloor(means) {
    const sorted = means.slice().sort((a, b) => b - a);
    for (let i = 1; i < sorted.length; ++i) {
      const spread = sorted[0] - sorted[i - 1];
      if (sorted[i - 1] - sorted[i] > Math.max(0.05, 1.5 * spread))
        return sorted[i - 1] - Math.max(0.1 * spread, 0.002);
    }
    return null;
  }

  function nonDominated(points) {
    let best = -Infinity;
    return points.slice().sort((a, b) => a.x - b.x || b.y - a.y).filter((p) => {
      const better = p.y > best;
      best = Math.max(best, p.y);
      return better;
    });
  }

  // A logarithmic axis that is labelled at 1, 2 and 5 of each decade.
  function logCostAxis(cost, values) {
    const [min, max] = [Math.min(...values) / 1.3, Math.max(...values) * 1.4];
    const steps = Math.log10(max / min) > (narrow() ? 2.2 : 4) ? [1] : [1, 2, 5];
    const ticks = [];
    for (let decade = 10 ** Math.floor(Math.log10(min)); decade <= max; decade *= 10)
      for (const step of steps)
        if (decade * step >= min && decade * step <= max) ticks.push({ value: decade * step });
    return axis({ type: "logarithmic", title: cost.title, min, max,
      afterBuildTicks: (scale) => { scale.ticks = ticks; },
      ticks: { maxRotation: 0, callback: cost.text } });
  }

  function drawFront() {
    const cost = COSTS[byId("front-cost").value];
    const place = data.places[Number(byId("front-place").value)];
    const key = byId("front-cost").value;
    const points = [];
    for (const candidate of data.candidates) {
      const a = accuracyAt(candidate, place);
      if (!a) continue;
      const { mean: y, std, n, metric } = a;
      points.push({ x: candidate[key], y, std, n, metric, candidate });
    }
    if (!points.length) return;
    const log = byId("front-log").checked && points.every((p) => p.x > 0);
    const outlierFloor = accuracyFloor(points.map((p) => p.y));
    byId("front-all-label").hidden = outlierFloor === null;
    const floor = byId("front-all").checked ? null : outlierFloor;
    const shown = points.filter((p) => floor === null || p.y >= floor);
    const low = Math.min(...shown.map((p) => p.y - p.std));
    const high = Math.max(...points.map((p) => p.y + p.std));
    const margin = Math.max((high - low) * 0.08, 0.002);
    const yMin = Math.max(low - margin, 0);
    for (const p of points) {
      if (shown.includes(p)) continue;
      Object.assign(p, { clipped: true, realY: p.y, y: yMin + margin * 0.5 });
    }
    const named = (p) => ({
      ...p,
      label: p.candidate.label + (p.clipped ? ` (${percentText(p.realY, 1)})` : ""),
    });
    const ofKind = (kind) => points.filter((p) => p.candidate.kind === kind).map(named);
    const others = points.filter((p) => !["front", "chosen"].includes(p.candidate.kind)).map(named);
    const line = nonDominated(shown.filter((p) => ["front", "chosen"].includes(p.candidate.kind)));
    const set = (label, list, color, style, radius, extra) => ({
      type: "scatter", label, data: list, borderColor: themeColor(color),
      backgroundColor: themeColor(color), radius, hoverRadius: radius + 2,
      pointStyle: list.map((p) => (p.clipped ? "triangle" : style)), ...extra,
    });
    const unnamed = (list) => list.map((p) => ({ ...p, label: undefined }));
    draw("front", {
      data: {
        datasets: [
          set("chosen", ofKind("chosen"), "--mark-chosen", "rectRot", 8, { labelFirst: true }),
          set("front", unnamed(ofKind("front")), "--mark-front", "circle", 4),
          set("baselines", others, "--mark-baseline", "rect", 5),
          { type: "line", label: "best of the front", data: line.map((p) => ({ x: p.x, y: p.y })),
            borderColor: themeColor("--mark-front"), borderWidth: 1.5, stepped: true, radius: 0,
            hoverRadius: 0, hitRadius: 0 },
        ].filter((s) => s.data.length),
      },
      options: {
        scales: {
          x: log ? logCostAxis(cost, points.map((p) => p.x)) : axis({ title: cost.title,
            beginAtZero: true, grace: "5%",
            ticks: { maxTicksLimit: narrow() ? 5 : 8, maxRotation: 0, callback: cost.text } }),
          y: axis({ title: points[0].metric, min: yMin, max: Math.min(high + margin, 1.005),
            ticks: { includeBounds: false, callback: (v) => (v > 1 ? "" : percentText(v, 1)) } }),
        },
        plugins: {
          legend: { position: "bottom", labels: { color: themeColor("--ink"), usePointStyle: true,
            filter: (item) => item.text !== "best of the front" } },
          tooltip: { callbacks: { label: ({ raw }) => raw.candidate && [
            raw.candidate.label,
            percentText(raw.realY ?? raw.y) +
              (raw.n > 1 ? ` ± ${percentText(raw.std)} (${raw.n} chips)` : ""),
            ...Object.entries(COSTS).map(([k, c]) => `${c.title} ${c.text(raw.candidate[k])}`),
            `MACs on analog units ${percentText(raw.candidate.analog_mac_ratio, 1)}`,
          ] } },
        },
      },
      plugins: [errorBars, pointLabels],
    });
  }

  function stackedEnergy(name, rows) {
    const used = data.components.map((_, i) => rows.some((row) => row.breakdown[i] > 0));
    const longest = Math.max(...rows.map((row) => row.name.length));
    const cut = (text) => (narrow() && text.length > 18 ? `…${text.slice(-17)}` : text);
    draw(name, {
      type: "bar",
      height: 90 + rows.length * (rows.length > 30 ? 17 : 25) + (narrow() ? 40 : 0),
      data: {
        labels: rows.map((row) => cut(row.name)),
        datasets: data.components.map((title, i) => ({
          label: title, data: rows.map((row) => row.breakdown[i]),
          backgroundColor: COMPONENT_COLORS[i], barPercentage: 0.85, categoryPercentage: 0.9,
        })).filter((_, i) => used[i]),
      },
      options: {
        indexAxis: "y", layout: { padding: { right: 62 } },
        scales: {
          x: axis({ stacked: true,
            ticks: { maxTicksLimit: narrow() ? 4 : 8, maxRotation: 0,
              callback: COSTS.energy_pj.text } }),
          y: axis({ stacked: true, grid: { display: false },
            ticks: { autoSkip: false, color: themeColor("--ink"),
              font: { size: longest > 28 ? 11 : 12 } } }),
        },
        plugins: {
          legend: boxLegend(),
          tooltip: { mode: "index", axis: "y", filter: (item) => item.raw > 0,
            callbacks: { title: ([item]) => item && rows[item.dataIndex].name,
              label: (item) => `${item.dataset.label} ${siText(item.raw * 1e-12, "J")}` } },
        },
      },
      plugins: [barTotals],
    });
  }

  function drawEnergy() {
    const rows = data.candidates.filter((c) => c.kind !== "front")
      .map((c) => ({ name: c.label, breakdown: c.breakdown }));
    if (rows.length) stackedEnergy("energy-mappings", rows);
    if (data.layers.length) stackedEnergy("energy-layers", data.layers);
  }

  const TIMES = [[1, "1 s"], [60, "1 min"], [3600, "1 h"], [86400, "1 day"], [2592000, "1 month"],
    [31536000, "1 year"]];

  function drawDrift() {
    const select = byId("drift-split");
    if (!select) return;
    const times = data.places.filter((p) => p.split === select.value && p.t > 0).map((p) => p.t);
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const rank = { chosen: 0, baseline: 1 };
    const sets = data.candidates.filter((c) => c.kind !== "front").map((candidate) => {
      const own = candidate.accuracy.filter((a) => a.split === select.value)
        .sort((a, b) => a.t - b.t);
      const constant = own.length === 1 && own[0].t === 0;
      const points = constant
        ? [first, last].map((x) => ({ x, y: own[0].mean }))
        : own.filter((a) => a.t > 0).map((a) => ({ x: a.t, y: a.mean, std: a.std, n: a.n }));
      return { candidate, constant, points };
    }).filter((set) => set.points.length)
      .sort((a, b) => (rank[a.candidate.kind] ?? 2) - (rank[b.candidate.kind] ?? 2));
    if (!sets.length) return;
    const all = sets.flatMap((set) => set.points);
    const floor = accuracyFloor(all.map((p) => p.y));
    let next = 0;
    const datasets = sets.map(({ candidate, constant, points }) => {
      const chosen = candidate.kind === "chosen";
      const color = chosen ? themeColor("--mark-chosen") : LINE_COLORS[next++ % LINE_COLORS.length];
      return { label: candidate.label, data: points, borderColor: color, backgroundColor: color,
        borderWidth: chosen ? 3 : 1.5, borderDash: constant ? [6, 4] : [], radius: constant ? 0 : 4,
        pointStyle: chosen ? "rectRot" : "circle" };
    });
    draw("drift", {
      type: "line",
      data: { datasets },
      options: {
        interaction: { mode: "nearest", intersect: false },
        scales: {
          x: axis({ type: "logarithmic", title: "time after programming", min: first / 1.4,
            max: last * 1.4,
            ticks: { maxRotation: 0, callback: (v) => TIMES.find(([t]) => t === v)?.[1] },
            afterBuildTicks: (scale) => {
              scale.ticks = TIMES.filter(([t]) => t >= first / 1.4 && t <= last * 1.4)
                .map(([value]) => ({ value }));
            } }),
          y: axis({ title: "accuracy", ...(floor === null ? { grace: "8%" } : { min: floor }),
            ticks: { includeBounds: false, callback: (v) => (v > 1 ? "" : percentText(v, 1)) } }),
        },
        plugins: {
          legend: { position: "bottom", labels: { color: themeColor("--ink"), usePointStyle: true,
            pointStyle: "line" } },
          tooltip: { callbacks: { title: () => "", label: ({ dataset, raw }) =>
            `${dataset.label}: ${percentText(raw.y)}` +
            (raw.n > 1 ? ` ± ${percentText(raw.std)} (${raw.n} chips)` : "") } },
        },
      },
      plugins: [errorBars],
    });
  }

  function drawSensitivity() {
    if (!data.sensitivity.length) return;
    const layers = [...new Set(data.sensitivity.map((s) => s.layer))];
    const paths = [...new Set(data.sensitivity.map((s) => s.path))];
    draw("sensitivity", {
      type: "bar",
      height: 110 + layers.length * Math.max(20, 9 * paths.length + 8),
      data: {
        labels: layers,
        datasets: paths.map((path) => {
          const own = data.sensitivity.filter((s) => s.path === path);
          return { label: path, backgroundColor: own[0].color,
            data: layers.map((layer) => own.find((s) => s.layer === layer)?.drop ?? null) };
        }),
      },
      options: {
        indexAxis: "y",
        scales: {
          x: axis({ title: "accuracy lost, points",
            min: Math.min(0, ...data.sensitivity.map((s) => 1.1 * s.drop)),
            ticks: { includeBounds: false, callback: (v) => Number((v * 100).toPrecision(3)) } }),
          y: axis({ grid: { display: false },
            ticks: { autoSkip: false, color: themeColor("--ink") } }),
        },
        plugins: {
          legend: boxLegend(),
          tooltip: { callbacks: { label: (item) =>
            `${item.dataset.label}: ${(item.raw * 100).toFixed(2)} points` } },
        },
      },
    });
  }

  // One small chart per quantity; phases follow one another, whatever their steps count from.
  function drawTraces() {
    const holder = byId("traces");
    if (!holder) return;
    holder.replaceChildren();
    const phases = [...new Set(data.trace.map((s) => s.phase))];
    for (const quantity of new Set(data.trace.map((s) => s.quantity))) {
      let offset = 0;
      const datasets = data.trace.filter((s) => s.quantity === quantity).map((series) => {
        const start = series.points[0][0] <= offset ? offset : 0;
        const points = series.points.map(([x, y]) => ({ x: x + start, y }));
        offset = points[points.length - 1].x;
        const color = LINE_COLORS[phases.indexOf(series.phase) % LINE_COLORS.length];
        return { label: series.phase, data: points, borderColor: color, backgroundColor: color,
          borderWidth: 1.5, radius: points.length > 40 ? 0 : 2 };
      });
      const box = document.createElement("div");
      box.className = "chart";
      box.dataset.chart = `trace-${quantity}`;
      box.append(document.createElement("canvas"));
      holder.append(box);
      draw(`trace-${quantity}`, {
        type: "line", height: 230, data: { datasets },
        options: {
          interaction: { mode: "nearest", intersect: false },
          scales: {
            x: axis({ type: "linear", title: "step" }),
            y: axis({ title: quantity.replaceAll("_", " ") }),
          },
          plugins: { legend: boxLegend() },
        },
      });
    }
  }

  function fill(select, options, chosen) {
    if (!select) return;
    for (const [value, title] of options) select.add(new Option(title, value));
    select.value = chosen;
    select.closest(".controls").hidden = false;
  }

  function setUpControls() {
    if (byId("front-cost") && data.main) {
      fill(byId("front-cost"), Object.entries(COSTS).map(([k, c]) => [k, c.title]), "energy_pj");
      const main = data.places.findIndex((p) => p.split === data.main.split && p.t === data.main.t);
      fill(byId("front-place"), data.places.map((p, i) => [i, p.title]), Math.max(main, 0));
      const costs = data.candidates.map((c) => c.energy_pj).filter((v) => v > 0);
      byId("front-log").checked = Math.max(...costs) > 8 * Math.min(...costs);
    }
    const timed = data.places.filter((p) => p.t > 0).map((p) => p.split);
    const splits = [...new Set(timed)].filter((s) => timed.filter((t) => t === s).length > 1);
    fill(byId("drift-split"), splits.map((s) => [s, s]),
      splits.includes(data.main?.split) ? data.main.split : splits[0]);
    for (const control of document.querySelectorAll(".controls select, .controls input"))
      control.addEventListener("change", drawAll);
  }

  function setUpTips() {
    const tip = byId("tip");
    const hide = () => { tip.hidden = true; };
    const show = (cell) => {
      tip.textContent = cell.dataset.tip;
      tip.hidden = false;
      const box = cell.getBoundingClientRect();
      const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 6),
        innerWidth - tip.offsetWidth - 6);
      const above = box.top - tip.offsetHeight - 8;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
    };
    for (const cell of document.querySelectorAll(".cell")) {
      cell.addEventListener("pointerenter", () => show(cell));
      cell.addEventListener("focus", () => show(cell));
      cell.addEventListener("pointerleave", hide);
      cell.addEventListener("blur", hide);
    }
    addEventListener("scroll", hide, { passive: true });
  }

  function drawAll() {
    charts.splice(0).forEach((chart) => chart.destroy());
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    if (byId("front-cost") && data.main) drawFront();
    drawEnergy();
    drawDrift();
    drawSensitivity();
    drawTraces();
  }

  setUpControls();
  setUpTips();
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
