"use strict";
// Zooming and the read-out of the timeline; the page can be read without it.
(() => {
  const tracks = document.getElementById("tracks");
  if (!tracks) return;
  document.documentElement.classList.add("js");
  const data = JSON.parse(document.getElementById("data").textContent);
  const pictures = [...document.querySelectorAll(".picture")];
  const [axis, cursor, brush, readout] = ["axis", "cursor", "brush", "readout"].map((id) => document.getElementById(id));
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const narrowest = Math.min(2, data.seconds);
  let from = 0;
  let to = data.seconds;

  const element = (tag, text, style) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (style) made.style.cssText = style;
    return made;
  };

  const clock = (seconds, step) => {
    const whole = Math.floor(seconds + 1e-6);
    const tenths = step < 1 ? "." + Math.floor((seconds - whole) * 10 + 1e-6) : "";
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (n) => String(n).padStart(2, "0");
    return (h ? `${h}:${two(m)}` : m) + ":" + two(s) + tenths;
  };

  const show = (start, end) => {
    const length = Math.min(data.seconds, Math.max(narrowest, end - start));
    from = Math.min(Math.max(0, start), data.seconds - length);
    to = from + length;
    for (const picture of pictures) {
      picture.setAttribute("viewBox", `${from} 0 ${length} ${picture.viewBox.baseVal.height}`);
    }
    const most = Math.max(2, Math.floor(axis.clientWidth / 110));
    const step = steps.find((each) => length / each <= most) || steps[steps.length - 1];
    const labels = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      labels.push(element("span", clock(at, step), `left:${(100 * (at - from)) / length}%`));
    }
    axis.replaceChildren(...labels);
    for (const label of labels) label.classList.toggle("end", label.offsetLeft + label.offsetWidth > axis.clientWidth);
  };

  const zoom = (factor, around = (from + to) / 2) => show(around - (around - from) * factor, around + (to - around) * factor);
  const shift = (part) => show(from + (to - from) * part, to + (to - from) * part);
  const actions = {
    in: () => zoom(0.5),
    out: () => zoom(2),
    left: () => shift(-0.5),
    right: () => shift(0.5),
    all: () => show(0, data.seconds),
  };

  const within = (event) => {
    const box = axis.getBoundingClientRect();
    const x = Math.min(Math.max(0, event.clientX - box.left), box.width);
    return { x, at: from + (x / box.width) * (to - from) };
  };

  const numbers = (at) => {
    const bin = Math.floor(at / data.width);
    const value = (name) => data.series[name][bin];
    const ms = (seconds) => (seconds >= 1 ? `${seconds.toPrecision(3)} s` : `${(1000 * seconds).toPrecision(3)} ms`);
    const found = [];
    if (value("rate") != null) {
      found.push(`${value("rate")} requests/s`, `${value("failed")} failed/s`, `${value("wrong")} wrong/s`);
    }
    if (value("p50") != null) found.push(`p50 ${ms(value("p50"))}`, `p99 ${ms(value("p99"))}`);
    for (const [name, changes] of Object.entries(data.steps)) {
      const last = changes.filter(([when]) => when <= at).pop();
      if (last) found.push(`${last[1]} ${name}`);
    }
    return found;
  };

  const tell = (at) => {
    const lasting = data.states.filter(([start, end]) => start <= at && at <= Math.max(end, start + (to - from) / 300));
    const when = new Date(data.epoch_ms + 1000 * at).toISOString().slice(11, 21);
    const parts = [element("b", `${clock(at, 0.1)} `), element("span", `(${when} UTC)  ${numbers(at).join(" · ")}`)];
    for (const [, , words] of lasting.slice(0, 4)) parts.push(element("br", ""), element("span", words));
    readout.replaceChildren(...parts);
  };

  let anchor = null;
  tracks.addEventListener("pointerdown", (event) => {
    if (event.button || readout.contains(event.target)) return;
    anchor = within(event);
    if (event.pointerType === "mouse") tracks.setPointerCapture(event.pointerId);
  });
  tracks.addEventListener("pointermove", (event) => {
    const here = within(event);
    cursor.style.cssText = `display:block;left:${here.x}px`;
    tell(here.at);
    const wide = anchor && Math.abs(here.x - anchor.x) > 6;
    brush.style.cssText = wide ? `display:block;left:${Math.min(here.x, anchor.x)}px;width:${Math.abs(here.x - anchor.x)}px` : "";
  });
  tracks.addEventListener("pointerup", (event) => {
    const here = within(event);
    if (anchor && Math.abs(here.x - anchor.x) > 6) show(Math.min(here.at, anchor.at), Math.max(here.at, anchor.at));
    else if (anchor) tell(here.at);
    anchor = null;
    brush.style.cssText = "";
  });
  tracks.addEventListener("pointercancel", () => {
    anchor = null;
    brush.style.cssText = "";
  });
  tracks.addEventListener("dblclick", actions.all);
  tracks.addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all" };
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  document.addEventListener("click", (event) => {
    const { do: action, from: start, to: end } = event.target.dataset || {};
    if (action) actions[action]();
    if (start === undefined) return;
    const margin = Math.max(1, (end - start) * 0.2);
    show(Number(start) - margin, Number(end) + margin);
    document.getElementById("timeline").scrollIntoView();
  });
  window.addEventListener("resize", () => show(from, to));
  show(0, data.seconds);
})();
