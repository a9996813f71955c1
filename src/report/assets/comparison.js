"use strict";
// Draws the charts of a comparison from the data that stands in #report-data.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const COLORS = ["#7c5cc4", "#e08a2e", "#2a9d8f", "#3d83c4", "#c8553d", "#8ab35c", "#c76b98",
    "#8d99a6", "#a0763b", "#3b3f8f", "#e9a23b", "#7d9a2f"];
  const COSTS = {
    energy_pj: { title: "energy per image", text: (v) => siText(v * 1e-12, "J") },
    latency_ns: { title: "latency per image", text: (v) => siText(v * 1e-9, "s") },
    digital_weight_bytes: { title: "weights in digital memory", text: bytesText },
  };
  const byId = (id) => document.getElementById(id);
  const names = data.strategies.map((s) => s.name);
  const colorOf = (name) => COLORS[names.indexOf(name) % COLORS.length];
  const charts = [];

  function axis({ title, ticks, ...extra }) {
    const soft = themeColor("--soft");
    const line = themeColor("--line");
    return { grid: { color: line, borderColor: line }, ticks: { color: soft, ...ticks },
      title: { display: Boolean(title), color: soft, text: title ?? "" }, ...extra };
  }

  function draw(name, config) {
    const holder = document.querySelector(`[data-chart="${name}"]`);
    if (config.height) holder.style.height = `${config.height}px`;
    config.options = {
      responsive: true, maintainAspectRatio: false, animation: false, ...config.options,
    };
    charts.push(new Chart(holder.querySelector("canvas"), config));
  }

  // Points that none of the same list beats in both accuracy and cost, by cost.
  function nonDominated(points) {
    let best = -Infinity;
    return points.slice().sort((a, b) => a.x - b.x || b.y - a.y).filter((p) => {
      const better = p.y > best;
      best = Math.max(best, p.y);
      return better;
    });
  }

  function drawFronts() {
    const key = byId("cost").value;
    const cost = COSTS[key];
    const pointsOf = (name) => data.runs.filter((run) => run.strategy === name)
      .flatMap((run) => run.mappings.map((m) => ({ x: m[key], y: m.mean, std: m.std, n: m.n,
        mapping: m, seed: run.seed, strategy: name })))
      .filter((p) => p.y >= data.floor);
    const all = names.flatMap(pointsOf);
    if (!all.length) return;
    const low = Math.min(...all.map((p) => p.y - p.std));
    const high = Math.max(...all.map((p) => p.y + p.std));
    const margin = Math.max((high - low) * 0.08, 0.002);
    const log = byId("log").checked && all.every((p) => p.x > 0);
    const sets = names.flatMap((name) => {
      const points = pointsOf(name);
      const color = colorOf(name);
      return [
        { type: "scatter", label: name, data: points, borderColor: color, backgroundColor: color,
          radius: points.map((p) => (p.mapping.chosen ? 8 : 4)), hoverRadius: 9,
          pointStyle: points.map((p) => (p.mapping.chosen ? "rectRot" : "circle")) },
        { type: "line", label: "", data: nonDominated(points).map(({ x, y }) => ({ x, y })),
          borderColor: color, borderWidth: 1.5, stepped: true, radius: 0, hoverRadius: 0,
          hitRadius: 0 },
      ];
    });
    draw("fronts", {
      data: { datasets: sets },
      options: {
        scales: {
          x: axis({ type: log ? "logarithmic" : "linear", title: cost.title,
            ticks: { maxTicksLimit: 8, maxRotation: 0, callback: cost.text } }),
          y: axis({ title: "validation accuracy", min: Math.max(low - margin, 0),
            max: Math.min(high + margin, 1.005),
            ticks: { includeBounds: false, callback: (v) => (v > 1 ? "" : percentText(v, 1)) } }),
        },
        plugins: {
          legend: { position: "bottom", labels: { color: themeColor("--ink"), usePointStyle: true,
            filter: (item) => item.text !== "" } },
          tooltip: { callbacks: { label: ({ raw }) => raw.mapping && [
            `${raw.strategy}, seed ${raw.seed}: ${raw.mapping.label}`,
            percentText(raw.y) + (raw.n > 1 ? ` ± ${percentText(raw.std)} (${raw.n} chips)` : ""),
            ...Object.entries(COSTS).map(([k, c]) => `${c.title} ${c.text(raw.mapping[k])}`),
            `MACs on analog units ${percentText(raw.mapping.analog_mac_ratio, 1)}`,
          ] } },
        },
      },
      plugins: [errorBars],
    });
  }

  function drawBars(name, key, text) {
    draw(name, {
      type: "bar",
      height: 70 + 30 * names.length,
      data: { labels: names, datasets: [{ data: data.strategies.map((s) => s[key]),
        backgroundColor: names.map(colorOf), barPercentage: 0.8 }] },
      options: {
        indexAxis: "y",
        scales: {
          x: axis({ beginAtZero: true, ticks: { callback: text } }),
          y: axis({ grid: { display: false }, ticks: { color: themeColor("--ink") } }),
        },
        plugins: { legend: { display: false },
          tooltip: { callbacks: { label: (item) => text(item.raw) } } },
      },
    });
  }

  function drawAll() {
    charts.splice(0).forEach((chart) => chart.destroy());
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    drawFronts();
    drawBars("volume", "volume", (v) => Number(v.toPrecision(4)));
    drawBars("seconds", "seconds", (v) => `${Number(v.toPrecision(3))} s`);
  }

  for (const [key, cost] of Object.entries(COSTS)) byId("cost").add(new Option(cost.title, key));
  for (const control of [byId("cost"), byId("log")]) control.addEventListener("change", drawAll);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
