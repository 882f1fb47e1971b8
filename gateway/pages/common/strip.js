// A chunk as a strip: a column for each step, a line for each stick and for each button that has been used, and a
// playhead at the step that is played. The previous chunk is on its left, faded.

import { colour, fitted, whenColoursChange } from "./colours.js";
import { BUTTONS, label } from "./gamepad.js";

const LABELS_WIDTH = 104;
const BUTTON_HEIGHT = 13;
const STICK_HEIGHT = 26;
const GAP = 8;
const STICKS = [["j_left", "Left stick"], ["j_right", "Right stick"]];

/** Draws chunks on a canvas, whose height grows with the buttons that have been used, and stays. */
export class ChunkStrip {
  constructor(canvas) {
    this.canvas = canvas;
    this.rows = [];
    this.before = [];
    this.index = -1;
    this.used = new Set();
    whenColoursChange(() => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Show a chunk (rows), and fade the present one. */
  take(rows) {
    this.before = this.rows;
    this.rows = rows;
    for (const pad of rows) pad.buttons.forEach((value, column) => value && this.used.add(column));
    this.canvas.style.height = `${this.height()}px`;
    this.index = -1;
    this.draw();
  }

  /** Move the playhead to a step, counted from 0; -1 for none. */
  seek(index) {
    if (index === this.index) return;
    this.index = index;
    this.draw();
  }

  /** Show nothing. */
  clear() {
    this.rows = [];
    this.before = [];
    this.index = -1;
    this.draw();
  }

  height() {
    return STICKS.length * STICK_HEIGHT + this.used.size * BUTTON_HEIGHT + 4;
  }

  draw() {
    const context = fitted(this.canvas);
    const columns = Math.max(this.rows.length, 1);
    const width = (this.canvas.clientWidth - LABELS_WIDTH - GAP) / (2 * columns);
    const now = LABELS_WIDTH + GAP + columns * width;
    const lines = [...this.used].sort((one, other) => one - other);
    this.labels(context, lines);
    context.globalAlpha = 0.35;
    const offset = LABELS_WIDTH + (columns - this.before.length) * width;
    this.chunk(context, this.before.slice(-columns), Math.max(offset, LABELS_WIDTH), width, lines);
    context.globalAlpha = 1;
    this.chunk(context, this.rows, now, width, lines);
    if (this.index >= 0 && this.rows.length) {
      const x = now + (Math.min(this.index, this.rows.length - 1) + 0.5) * width;
      context.fillStyle = colour("--playhead");
      context.fillRect(Math.round(x) - 1, 0, 2, this.height());
    }
  }

  labels(context, lines) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    STICKS.forEach(([, text], number) => {
      const y = (number + 0.5) * STICK_HEIGHT;
      context.fillStyle = colour("--muted");
      context.fillText(text, 0, y);
      context.fillStyle = colour("--stick-x");
      context.fillText("x", LABELS_WIDTH - 20, y);
      context.fillStyle = colour("--stick-y");
      context.fillText("y", LABELS_WIDTH - 10, y);
    });
    context.fillStyle = colour("--muted");
    lines.forEach((column, number) => context.fillText(label(BUTTONS[column]), 0, this.top(number) + 6));
  }

  top(number) {
    return STICKS.length * STICK_HEIGHT + number * BUTTON_HEIGHT;
  }

  chunk(context, rows, left, width, lines) {
    if (!rows.length) return;
    const span = rows.length * width;
    STICKS.forEach(([name], number) => {
      const middle = (number + 0.5) * STICK_HEIGHT;
      context.fillStyle = colour("--cell");
      context.fillRect(left, middle - STICK_HEIGHT / 2 + 1, span, STICK_HEIGHT - 2);
      this.curve(context, rows, (pad) => pad[name][1], left, middle, width, colour("--stick-y"));
      this.curve(context, rows, (pad) => pad[name][0], left, middle, width, colour("--stick-x"));
    });
    lines.forEach((column, number) => {
      context.fillStyle = colour("--cell");
      context.fillRect(left, this.top(number), span, BUTTON_HEIGHT - 2);
      context.fillStyle = colour("--pressed");
      rows.forEach((pad, step) => {
        if (pad.buttons[column]) {
          context.fillRect(left + step * width, this.top(number), Math.max(width - 1, 1), BUTTON_HEIGHT - 2);
        }
      });
    });
  }

  curve(context, rows, value, left, middle, width, stroke) {
    context.strokeStyle = stroke;
    context.lineWidth = 1.5;
    context.beginPath();
    rows.forEach((pad, step) => {
      context.lineTo(left + (step + 0.5) * width, middle + value(pad) * (STICK_HEIGHT / 2 - 3));
    });
    context.stroke();
  }
}
