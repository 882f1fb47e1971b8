// Delays of the last answers as stacked areas, one series on top of the other, the newest on the right.

import { colour, fitted, whenColoursChange } from "./colours.js";

const AXIS_WIDTH = 52;

/** `series`: the custom properties of the colours, from the bottom up; `kept`: how many points are shown. */
export class DelayChart {
  constructor(canvas, series, kept = 60) {
    this.canvas = canvas;
    this.series = series;
    this.kept = kept;
    this.points = [];
    whenColoursChange(() => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Add a point: milliseconds for each series. */
  add(values) {
    this.points.push(values.map((value) => Math.max(0, value)));
    this.points = this.points.slice(-this.kept);
    this.draw();
  }

  /** Show only these points. */
  set(points) {
    this.points = points.slice(-this.kept);
    this.draw();
  }

  draw() {
    const context = fitted(this.canvas);
    const width = this.canvas.clientWidth - AXIS_WIDTH;
    const height = this.canvas.clientHeight;
    const most = Math.max(...this.points.map((values) => sum(values)), 1);
    const top = rounded(most);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      const y = height - 1 - share * (height - 12);
      context.fillStyle = colour("--line");
      context.fillRect(AXIS_WIDTH, Math.round(y), width, 1);
      context.fillStyle = colour("--muted");
      context.fillText(axisLabel(top * share, top), AXIS_WIDTH - 6, Math.min(y + 4, height - 2));
    }
    if (!this.points.length) return;
    const x = (index) => AXIS_WIDTH + (width * (index + this.kept - this.points.length)) / (this.kept - 1);
    const y = (value) => height - 1 - (value / top) * (height - 12);
    this.series.forEach((name, number) => {
      context.fillStyle = colour(name);
      context.beginPath();
      this.points.forEach((values, index) => context.lineTo(x(index), y(sum(values.slice(0, number + 1)))));
      for (let index = this.points.length - 1; index >= 0; index -= 1) {
        context.lineTo(x(index), y(sum(this.points[index].slice(0, number))));
      }
      context.fill();
    });
  }
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** A value of an axis that ends at `top` milliseconds: in seconds, which are shorter, if that is one or more. */
export function axisLabel(value, top) {
  return top < 1000 ? `${value} ms` : `${value / 1000} s`;
}

/** The next of 1, 2, 4, 10, 20, 40, ... that is not below a value. */
function rounded(value) {
  const tens = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 10].find((factor) => factor * tens >= value) * tens;
}
