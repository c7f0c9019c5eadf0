// The projection: a dot per row, named on hover, coloured by speaker, view or SNR.
"use strict";
const points = JSON.parse(document.getElementById("points").textContent);
const figure = document.getElementById("space");
const plane = figure.querySelector("svg");
const tooltip = document.getElementById("tooltip");
const legend = document.getElementById("legend");
const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5230", "#aa4499", "#999933", "#882255"];
const unknown = "#8a929c";
const snrs = points.map((point) => point.snr).filter((snr) => snr !== null);
const [least, most] = [Math.min(...snrs), Math.max(...snrs)];
const distinct = (key) => [...new Set(points.map((point) => point[key]))];
const views = distinct("view");
const speakers = distinct("speaker").filter((speaker) => speaker !== null);
const colours = {
  view: (point) => palette[views.indexOf(point.view) % palette.length],
  speaker: (point) => point.speaker === null ? unknown : `hsl(${(speakers.indexOf(point.speaker) * 137.5) % 360} 60% 50%)`,
  snr: (point) => point.snr === null ? unknown : `hsl(${10 + 200 * (point.snr - least) / (most - least || 1)} 70% 48%)`,
};
const keys = {
  view: () => views.map((view) => [view, colours.view({ view })]),
  speaker: () => [[`${speakers.length} {{ say("speakers") }}`, unknown]],
  snr: () => snrs.length ? [[`${least} dB`, colours.snr({ snr: least })], [`${most} dB`, colours.snr({ snr: most })], ["nothing added", unknown]] : [["nothing added", unknown]],
};
const dots = points.map((point, number) => {
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  dot.setAttribute("cx", point.x);
  dot.setAttribute("cy", -point.y * 0.66);
  dot.setAttribute("r", 0.008);
  dot.dataset.number = number;
  plane.append(dot);
  return dot;
});
function colour() {
  const by = document.querySelector("input[name=colour]:checked").value;
  dots.forEach((dot, number) => dot.setAttribute("fill", colours[by](points[number])));
  legend.replaceChildren(...keys[by]().map(([text, ink]) => {
    const entry = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.background = ink;
    entry.append(mark, text);
    return entry;
  }));
}
const at = (event) => event.target.dataset?.number === undefined ? null : points[event.target.dataset.number];
plane.addEventListener("pointermove", (event) => {
  const point = at(event);
  tooltip.hidden = point === null;
  if (point === null) return;
  const snr = point.snr === null ? "" : `, ${point.snr} dB`;
  tooltip.textContent = `${point.utterance} · ${point.view}${snr} · ${point.speaker ?? "{{ say("speaker unknown") }}"}`;
  const frame = figure.getBoundingClientRect();
  tooltip.style.left = `${Math.min(event.clientX - frame.left + 12, frame.width - 330)}px`;
  tooltip.style.top = `${event.clientY - frame.top + 12}px`;
});
plane.addEventListener("pointerleave", () => { tooltip.hidden = true; });
plane.addEventListener("click", (event) => {
  const point = at(event);
  figure.classList.toggle("some", point !== null);
  dots.forEach((dot, number) => dot.classList.toggle("marked", point !== null && points[number].utterance === point.utterance));
});
document.querySelectorAll("input[name=colour]").forEach((input) => input.addEventListener("change", colour));
colour();
