// Draws the plan that stands in #data. Whatever comes from the plan goes into the page as text.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { plan, cluster, stages, timeline } = data;
  const MOST_ROWS = 400; // until somebody asks for all

  // --- Elements and quantities ---

  const byId = (id) => document.getElementById(id);

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "style") Object.assign(element.style, value);
      else if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function draw(tag, properties, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const digits = (value) => String(Number(value.toPrecision(3)));
  const percent = (part) => `${(100 * part).toFixed(1)}%`;
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const span = (first, end) => (end - first > 1 ? `${first} to ${end - 1}` : String(first));

  function seconds(value) {
    if (value >= 0.9995) return `${digits(value)} s`;
    if (value >= 0.9995e-3) return `${digits(value * 1e3)} ms`;
    return `${digits(value * 1e6)} us`;
  }

  function bytes(value) {
    for (const unit of ["B", "kB", "MB", "GB"]) {
      if (Math.abs(value) < 999.5) return `${digits(value)} ${unit}`;
      value /= 1000;
    }
    return `${digits(value)} TB`;
  }

  const PARTS = ["compute", "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "transfers", "bubble"];
  const partColor = (part) => `var(--${PARTS.includes(part) ? part : "all-to-all"})`;
  const stageColor = (stage) => `hsl(${205 + (290 * stage) / Math.max(stages.length, 2)} 48% var(--stage-light))`;

  // --- Tables: filtered by words, sorted by columns ---

  // A column has a title, `value` to sort by, `show` for what is in the cell, and maybe a class.
  function table(place, noun, columns, rows) {
    if (!rows.length) {
      place.append(make("p", { className: "none", textContent: `No ${noun}s.` }));
      return;
    }
    const state = { column: null, isDescending: false, words: [], isWhole: false };
    const texts = rows.map((row) => columns.map((column) => column.text?.(row) ?? String(column.show?.(row) ?? column.value(row))).join(" ").toLowerCase());
    const filter = make("input", { type: "text", role: "searchbox", placeholder: `Filter ${noun}s`, "aria-label": `Filter ${noun}s` });
    const count = make("output", { className: "muted" });
    const all = make("button", { type: "button" });
    const body = make("tbody");
    const headers = columns.map((column) => {
      const button = make("button", { type: "button", textContent: column.title });
      const header = make("th", { scope: "col", className: column.className ?? "" }, column.value ? button : column.title);
      button.addEventListener("click", () => {
        state.isDescending = state.column === column ? !state.isDescending : Boolean(column.isNumber);
        state.column = column;
        headers.forEach((each) => each.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", state.isDescending ? "descending" : "ascending");
        fill();
      });
      return header;
    });

    function fill() {
      const numbers = rows.map((_, number) => number).filter((number) => state.words.every((word) => texts[number].includes(word)));
      if (state.column) {
        const of = (number) => state.column.value(rows[number]);
        const order = (a, b) => (typeof of(a) === "string" ? of(a).localeCompare(of(b), "en", { numeric: true }) : of(a) - of(b));
        numbers.sort((a, b) => (state.isDescending ? order(b, a) : order(a, b)));
      }
      const shown = state.isWhole ? numbers : numbers.slice(0, MOST_ROWS);
      body.replaceChildren(...shown.map((number) => rowOf(rows[number])));
      count.textContent = numbers.length === rows.length ? plural(rows.length, noun) : `${numbers.length} of ${plural(rows.length, noun)}`;
      all.hidden = shown.length === numbers.length;
      all.textContent = `Show all ${numbers.length}`;
    }

    function rowOf(row) {
      return make("tr", {}, ...columns.map((column) => {
        const shown = column.show ? column.show(row) : column.value(row);
        return make("td", { className: column.className ?? "" }, shown instanceof Node ? shown : String(shown));
      }));
    }

    filter.addEventListener("input", () => {
      state.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      fill();
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !filter.value) return;
      event.preventDefault();
      filter.value = "";
      filter.dispatchEvent(new Event("input"));
    });
    all.addEventListener("click", () => {
      state.isWhole = true;
      fill();
    });
    const hasTools = rows.length > 1;
    if (hasTools) place.append(make("div", { className: "tools" }, filter, count, all));
    const heads = make("thead", {}, make("tr", {}, ...headers));
    place.append(make("div", { className: rows.length > 20 ? "scroll tall" : "scroll", tabIndex: rows.length > 20 ? 0 : -1 }, make("table", {}, heads, body)));
    fill();
  }

  const number = (title, value, show) => ({ title, value, show: show && ((row) => show(value(row))), className: "number", isNumber: true });
  const text = (title, value, className) => ({ title, value, className });

  // --- Head ---

  function head() {
    byId("program").textContent = plan.program;
    const how = plan.is_pipeline ? `a pipeline of ${plural(stages.length, "stage")}, schedule ${plan.schedule}` : `one program on the mesh ${stages[0].mesh}`;
    byId("what").textContent = `${plan.method} on ${cluster.num_nodes * cluster.devices_per_node} x ${cluster.device}: ${how}`;
    const limit = cluster.memory_bytes;
    const figures = [
      ["A step", seconds(plan.step_seconds), "predicted"],
      ["Memory", bytes(plan.memory_bytes), `${percent(plan.memory_bytes / limit)} of ${bytes(limit)} per device`],
      ["Devices", String(cluster.num_nodes * cluster.devices_per_node), `${plural(cluster.num_nodes, "node")} of ${cluster.devices_per_node}`],
      ["Shardings", plan.gap < 1e-6 ? "optimal" : `within ${(100 * plan.gap).toFixed(2)}%`, plan.gap < 1e-6 ? "proven, per stage" : "of the optimum, per stage"],
    ];
    if (plan.is_pipeline) figures.splice(3, 0, ["Pipeline", `${stages.length} x ${plan.num_microbatches}`, `stages x microbatches, ${plural(plan.num_layers, "layer")}`]);
    for (const [title, value, more] of figures) {
      byId("figures").append(make("div", {}, make("dt", { textContent: title }), make("dd", {}, value, make("small", { textContent: more }))));
    }
    byId("foot").textContent = `Plan of module ${plan.module.slice(0, 12)}, made with ${plan.versions}. Prices: ${cluster.prices}.`;
    const gone = [["timeline", timeline === null], ["transfers", !plan.is_pipeline], ["links", !plan.is_pipeline], ["remarks", !data.remarks.length], ["alternatives", !data.alternatives.length]];
    for (const [id, isGone] of gone) if (isGone) byId(id).remove();
    for (const section of document.querySelectorAll("section")) {
      byId("nav").append(make("a", { href: `#${section.id}`, textContent: section.querySelector("h2").textContent }));
    }
    for (const remark of data.remarks) byId("remarks-list").append(make("li", { textContent: remark }));
  }

  function bar(parts, isSmall) {
    const total = parts.reduce((sum, part) => sum + part.seconds, 0) || 1;
    const label = parts.map((part) => `${part.part} ${percent(part.seconds / total)}`).join(", ");
    return make("div", { className: isSmall ? "bar small" : "bar", role: "img", "aria-label": label, title: label },
      ...parts.map((part) => make("span", { style: { width: `${(100 * part.seconds) / total}%`, background: partColor(part.part) } })));
  }

  function time() {
    const items = data.time.map((part) => make("li", {},
      make("span", { className: "swatch", style: { background: partColor(part.part) } }),
      `${part.part} `, make("b", { textContent: seconds(part.seconds) }), ` ${percent(part.seconds / plan.step_seconds)}`));
    byId("time-bar").append(bar(data.time), make("ul", { className: "legend" }, ...items));
  }

  // --- Cluster and stages ---

  function grid() {
    const links = `${bytes(cluster.intra_node_bytes_per_second)}/s per device within a node` +
      (cluster.num_nodes > 1 ? `, ${bytes(cluster.inter_node_bytes_per_second)}/s per node to others` : "");
    byId("cluster-what").textContent = `${cluster.name}: ${plural(cluster.num_nodes, "node")} of ${cluster.devices_per_node} x ${cluster.device}; ${links}.`;
    const home = [];
    for (const stage of stages) for (let k = 0; k < stage.num_devices; k++) home[stage.first_device + k] = stage.stage;
    const nodes = [];
    for (let node = 0; node < cluster.num_nodes; node++) {
      const cells = [];
      for (let k = 0; k < cluster.devices_per_node; k++) {
        const device = node * cluster.devices_per_node + k;
        const stage = home[device];
        const cell = make("i", { title: stage === undefined ? `device ${device}: no stage` : `device ${device}: stage ${stage}`, textContent: stage ?? "" });
        if (stage !== undefined) cell.style.background = stageColor(stage);
        cells.push(cell);
      }
      nodes.push(make("div", { className: "node" }, make("span", { textContent: `node ${node}` }), make("div", {}, ...cells)));
    }
    const label = stages.map((stage) => `stage ${stage.stage} on devices ${span(stage.first_device, stage.first_device + stage.num_devices)}`).join("; ");
    byId("cluster-grid").append(make("div", { className: cluster.num_nodes > 48 ? "nodes many" : "nodes", role: "img", "aria-label": label }, ...nodes));
  }

  function stageTable() {
    const badge = (row) => make("span", {}, make("span", { className: "swatch", style: { background: stageColor(row.stage) } }), String(row.stage));
    const ofMicrobatches = [
      number("forward", (row) => row.forward_seconds, seconds),
      { ...number("backward", (row) => row.backward_seconds), show: (row) => seconds(row.backward_seconds) + (row.is_rematerialized ? ", forward again" : "") },
      number("update", (row) => row.update_seconds, seconds),
      number("in flight", (row) => row.num_in_flight),
    ];
    if (plan.is_pipeline) byId("stages-what").textContent = "Forward and backward are of one microbatch; the bar is where the step goes.";
    table(byId("stages-table"), "stage", [
      { title: "stage", value: (row) => row.stage, show: badge, text: (row) => `stage ${row.stage}`, isNumber: true, className: "nowrap" },
      { ...text("layers", (row) => row.first_layer, "nowrap"), show: (row) => span(row.first_layer, row.end_layer) },
      { ...text("devices", (row) => row.first_device, "nowrap"), show: (row) => span(row.first_device, row.first_device + row.num_devices) },
      text("mesh", (row) => row.mesh, "nowrap"),
      ...(plan.is_pipeline ? ofMicrobatches : []),
      number("memory", (row) => row.memory_bytes, bytes),
      number("gap", (row) => row.gap, (gap) => `${(100 * gap).toFixed(2)}%`),
      { title: "where the time goes", show: (row) => bar(row.time, true), text: (row) => row.time.map((part) => part.part).join(" ") },
    ], stages);
  }

  // --- Timeline: a canvas, since there may be a hundred thousand tasks ---

  function lanes() {
    const height = Math.max(5, Math.min(24, Math.floor(640 / timeline.meshes.length)));
    const left = 62, axis = 24, total = timeline.makespan_seconds;
    const view = { start: 0, end: total };
    const meshes = timeline.meshes.map((flat) => {
      const tasks = [];
      let now = 0;
      for (let k = 0; k < flat.length; k += 4) {
        const start = now + flat[k + 2];
        now = start + flat[k + 3];
        tasks.push({ phase: timeline.phases[flat[k]], microbatch: flat[k + 1], start: start * timeline.tick_seconds, end: now * timeline.tick_seconds });
      }
      return tasks;
    });
    byId("timeline-what").textContent = `${seconds(total)}, ${percent(timeline.bubble_fraction)} of all stages' time idle. Arrow keys move, + and - zoom, 0 shows all; numbers are microbatches.`;
    const canvas = make("canvas", { tabIndex: 0, role: "img", "aria-label": `${plural(meshes.length, "stage")} over ${seconds(total)}, ${percent(timeline.bubble_fraction)} idle` });
    const told = make("output", { textContent: "\u00a0" });
    const context = canvas.getContext("2d");
    const width = () => canvas.clientWidth - left;
    const place = (moment) => left + ((moment - view.start) / (view.end - view.start)) * width();

    function paint() {
      const ratio = window.devicePixelRatio || 1;
      const tall = meshes.length * height + axis;
      canvas.style.height = `${tall}px`;
      canvas.width = canvas.clientWidth * ratio;
      canvas.height = tall * ratio;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      const style = getComputedStyle(document.documentElement);
      const color = Object.fromEntries([...timeline.phases, "bubble", "ink", "muted", "line", "paper"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      paintAxis(tall, color);
      meshes.forEach((tasks, mesh) => paintLane(tasks, mesh, color));
    }

    function paintLane(tasks, mesh, color) {
      const top = mesh * height, inside = Math.max(height - 2, 3);
      context.fillStyle = color.bubble;
      context.globalAlpha = 0.45;
      context.fillRect(left, top, width(), inside);
      context.globalAlpha = 1;
      context.textAlign = "center";
      for (const task of tasks) {
        if (task.end < view.start || task.start > view.end) continue;
        const x = Math.max(place(task.start), left), end = Math.min(place(task.end), left + width());
        context.fillStyle = color[task.phase];
        const gap = end - x > 4 ? 1 : 0;
        context.fillRect(x, top, Math.max(end - x - gap, 0.4), inside);
        if (height < 14 || end - x < 18) continue;
        context.fillStyle = color.ink;
        context.fillText(task.phase === "update" ? "U" : task.phase === "prologue" ? "P" : task.microbatch, (x + end) / 2, top + inside / 2 + 1);
      }
      if (height < 12 && mesh % Math.ceil(14 / height)) return;
      context.fillStyle = color.muted;
      context.textAlign = "left";
      context.fillText(`stage ${mesh}`, 0, top + inside / 2 + 1);
    }

    function paintAxis(tall, color) {
      const least = (view.end - view.start) / 8, power = 10 ** Math.floor(Math.log10(least));
      const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least * 0.999) ?? power * 10;
      context.textAlign = "center";
      for (let k = Math.ceil(view.start / step); k * step <= view.end; k++) {
        const x = place(k * step);
        context.fillStyle = color.line;
        context.fillRect(x, 0, 1, tall - axis + 4);
        context.fillStyle = color.muted;
        context.fillText(k === 0 ? "0" : seconds(k * step), Math.min(Math.max(x, left + 16), left + width() - 24), tall - axis / 2 + 2);
      }
    }

    function show(start, end) {
      const length = Math.min(Math.max(end - start, total / 20000), total);
      view.start = Math.min(Math.max(start, 0), total - length);
      view.end = view.start + length;
      paint();
    }

    const zoom = (factor, at = (view.start + view.end) / 2) => show(at - (at - view.start) * factor, at + (view.end - at) * factor);
    const move = (part) => show(view.start + part * (view.end - view.start), view.end + part * (view.end - view.start));
    const keys = { ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, total) };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, momentAt(event));
    }, { passive: false });
    const momentAt = (event) => view.start + ((event.offsetX - left) / width()) * (view.end - view.start);
    let grabbed = null;
    canvas.addEventListener("pointerdown", (event) => {
      grabbed = event.offsetX;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => (grabbed = null));
    canvas.addEventListener("pointermove", (event) => {
      if (grabbed !== null) {
        move((grabbed - event.offsetX) / width());
        grabbed = event.offsetX;
        return;
      }
      const mesh = Math.floor(event.offsetY / height), moment = momentAt(event);
      const task = meshes[mesh]?.find((each) => each.start <= moment && moment < each.end);
      told.textContent = task ? `stage ${mesh}, ${task.phase}${/ward/.test(task.phase) ? ` of microbatch ${task.microbatch}` : ""}: ${seconds(task.end - task.start)}, from ${seconds(task.start)} on` : "\u00a0";
    });
    const tools = [["Zoom in", () => zoom(0.5)], ["Zoom out", () => zoom(2)], ["All", () => show(0, total)]].map(([name, act]) => {
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", act);
      return button;
    });
    const present = timeline.phases.filter((phase) => meshes.some((tasks) => tasks.some((task) => task.phase === phase)));
    const legend = present.map((phase) => make("span", {}, make("span", { className: "swatch", style: { background: `var(--${phase})` } }), phase));
    byId("timeline-lanes").append(make("div", { className: "tools" }, ...tools, ...legend), make("div", { className: "lanes" }, canvas, told));
    new ResizeObserver(paint).observe(canvas.parentElement);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    paint();
  }

  // --- Memory ---

  function memory() {
    const limit = cluster.memory_bytes;
    const most = Math.max(...stages.map((stage) => stage.memory_bytes), ...data.memory.flatMap((curve) => curve.bytes));
    const isLimitShown = most > limit / 4; // else the curves would be flat
    byId("memory-what").textContent = `Over a step; the limit of ${bytes(limit)} is ${isLimitShown ? "dashed" : "far above what is drawn"}. The lower part is what arguments take${plan.is_pipeline ? ", the curve is as simulated" : ", the rest is drawn at its peak"}; the figures are planned peaks.`;
    const top = (isLimitShown ? Math.max(limit, most) : most) * 1.08;
    const high = (value) => 100 - (100 * value) / top;
    const figures = data.memory.map((curve, number) => {
      const peak = stages[number].memory_bytes, kept = Math.min(curve.arguments, peak);
      const line = curve.places.map((x, k) => `H${x}V${high(curve.bytes[k]).toFixed(2)}`).join("") + "H1000";
      const limitLine = draw("line", { class: "limit", x1: 0, x2: 1000, y1: high(limit), y2: high(limit) });
      const picture = draw("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("path", { class: "held", d: `M0 100${line}V100Z` }),
        draw("rect", { class: "state", x: 0, width: 1000, y: high(kept), height: 100 - high(kept) }),
        draw("line", { class: "ground", x1: 0, x2: 1000, y1: 100, y2: 100 }),
        ...(isLimitShown ? [limitLine] : []));
      const over = peak > limit ? " over" : "";
      const caption = make("figcaption", {}, make("span", { textContent: plan.is_pipeline ? `stage ${number}` : "every device" }),
        make("span", { className: `muted${over}`, textContent: `${bytes(peak)} (${percent(peak / limit)})`, title: `peak ${bytes(peak)}, arguments ${bytes(kept)}` }));
      return make("figure", {}, picture, caption);
    });
    byId("memory-curves").append(make("div", { className: "curves" }, ...figures));
  }

  // --- What lies and runs where ---

  const tensorColumns = [["tensor", "name"], ["type", "type"], ["lies as", "spec"], ["because", "reason"]];

  // A button that shows the tensors of a block in a row below its own.
  function tensors(block) {
    const button = make("button", { type: "button", textContent: plural(block.tensors.length, "tensor"), "aria-expanded": "false" });
    button.addEventListener("click", () => {
      const row = button.closest("tr"), isOpen = row.nextSibling?.className === "below";
      button.setAttribute("aria-expanded", String(!isOpen));
      if (isOpen) row.nextSibling.remove();
      else row.after(make("tr", { className: "below" }, make("td", { colSpan: row.cells.length }, tensorTable(block))));
    });
    return button;
  }

  function tensorTable(block) {
    const heads = [...tensorColumns.map(([title]) => make("th", { textContent: title })), make("th", { className: "number", textContent: "per device" })];
    const rows = block.tensors.map((each) => make("tr", {},
      ...tensorColumns.map(([, key]) => make("td", { textContent: each[key] })), make("td", { className: "number", textContent: bytes(each.bytes) })));
    return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  }

  // "[x, -]: qkv, output": the tensors of a block by how they lie, each name once.
  function specs(block) {
    const groups = new Map();
    for (const each of block.tensors) {
      if (!groups.has(each.spec)) groups.set(each.spec, new Set());
      groups.get(each.spec).add(each.part);
    }
    return [...groups].map(([spec, names]) => `${spec}: ${[...names].slice(0, 8).join(", ")}${names.size > 8 ? ` and ${names.size - 8} more` : ""}`).join(" \u00b7 ");
  }

  function lists() {
    const stageOf = (row) => row.stage ?? -1;
    const stage = { ...number("stage", stageOf), show: (row) => (row.stage === null ? "none" : row.stage), text: (row) => `stage ${row.stage}` };
    const layers = [
      text("part", (row) => row.block, "nowrap"), stage,
      number("per device", (row) => row.bytes, bytes),
      text("lies as", specs, "wide"),
      { title: "tensors", value: (row) => row.tensors.length, isNumber: true, className: "nowrap", show: tensors, text: (row) => row.tensors.map((each) => `${each.name} ${each.role} ${each.type}`).join(" ") },
    ];
    table(byId("layers-table"), "part", layers, data.blocks);
    table(byId("collectives-table"), "collective", [
      { ...stage }, text("kind", (row) => row.kind, "nowrap"), text("over", (row) => row.axes), text("needed by", (row) => `${row.op}: ${row.reason}`, "wide"),
      number("runs", (row) => row.runs, digits), number("bytes", (row) => row.bytes, bytes), number("time", (row) => row.seconds, seconds),
    ], data.collectives);
    if (plan.is_pipeline) {
      table(byId("transfers-table"), "transfer", [
        number("from", (row) => row.source), number("to", (row) => row.target), text("value", (row) => row.value, "wide"),
        number("runs", (row) => row.count), number("bytes", (row) => row.bytes * row.count, bytes),
      ], data.transfers);
      table(byId("links-table"), "link", [
        text("link", (row) => row.name, "nowrap"), number("carries", (row) => row.bytes_per_second, (rate) => `${bytes(rate)}/s`),
        number("bytes", (row) => row.num_bytes, bytes), number("busy", (row) => row.busy_seconds / plan.step_seconds, percent),
      ], data.links);
    }
    table(byId("ops-table"), "way", [
      text("op", (row) => row.op, "nowrap"), text("strategy", (row) => row.strategy, "wide"), number("ops", (row) => row.count),
      { ...text("stages", (row) => row.stages[0]), show: (row) => (row.stages.length === stages.length ? "all" : row.stages.join(", ")) },
    ], data.ops);
    if (data.alternatives.length) {
      table(byId("alternatives-table"), "alternative", [
        text("instead", (row) => row.name, "wide"), number("a step", (row) => row.step_seconds, seconds),
        number("behind", (row) => row.step_seconds / plan.step_seconds - 1, percent),
      ], data.alternatives);
    }
    table(byId("trust-table"), "figure", [
      text("of", (row) => row.what), number("on average", (row) => row.mean, percent), number("at most", (row) => row.worst, percent),
      text("against", (row) => `${row.count} ${row.against}`, "wide"), text("date", (row) => row.date, "nowrap"),
      { title: "measured by", value: (row) => row.command, show: (row) => make("code", { textContent: row.command }), text: (row) => row.command },
    ], data.known_error);
  }

  head();
  time();
  grid();
  stageTable();
  if (timeline !== null) lanes();
  memory();
  lists();
  document.documentElement.dataset.drawn = "true";
})();
