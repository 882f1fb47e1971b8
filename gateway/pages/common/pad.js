// The gamepad as a picture (SVG), with the pressed buttons and the positions of the sticks.

import { BUTTONS } from "./gamepad.js";

const SVG = "http://www.w3.org/2000/svg";
const STICK_RADIUS = 25;
const KNOB_RADIUS = 11;
const STICKS = { j_left: [104, 118], j_right: [216, 118] };

// Where each button is drawn: its box (x, y, width, height), its corners' radius, and the text on it.
const PLACES = {
  LEFT_TRIGGER: [34, 4, 66, 16, 5, "LT"],
  LEFT_SHOULDER: [34, 23, 66, 14, 5, "LB"],
  RIGHT_TRIGGER: [220, 4, 66, 16, 5, "RT"],
  RIGHT_SHOULDER: [220, 23, 66, 14, 5, "RB"],
  DPAD_UP: [51, 48, 18, 18, 4, "↑"],
  DPAD_DOWN: [51, 84, 18, 18, 4, "↓"],
  DPAD_LEFT: [33, 66, 18, 18, 4, "←"],
  DPAD_RIGHT: [69, 66, 18, 18, 4, "→"],
  NORTH: [250, 45, 20, 20, 10, "N"],
  SOUTH: [250, 85, 20, 20, 10, "S"],
  WEST: [230, 65, 20, 20, 10, "W"],
  EAST: [270, 65, 20, 20, 10, "E"],
  BACK: [116, 58, 34, 14, 7, "BACK"],
  START: [170, 58, 34, 14, 7, "START"],
  GUIDE: [150, 74, 20, 20, 10, "G"],
  LEFT_THUMB: [91, 150, 26, 12, 6, "L3"],
  RIGHT_THUMB: [203, 150, 26, 12, 6, "R3"],
  // The model's own cross of the right stick.
  RIGHT_UP: [209, 82, 14, 9, 3, "↑"],
  RIGHT_BOTTOM: [209, 164, 14, 9, 3, "↓"],
  RIGHT_LEFT: [176, 112, 12, 12, 3, "←"],
  RIGHT_RIGHT: [244, 112, 12, 12, 3, "→"],
};

/** Draws a pad into an element once, and then shows rows in it. */
export class PadPicture {
  constructor(element) {
    const svg = made("svg", { viewBox: "0 0 320 178", class: "pad", role: "img" });
    svg.setAttribute("aria-label", "The gamepad, with what is pressed now");
    svg.append(made("rect", { class: "pad-body", x: 8, y: 40, width: 304, height: 136, rx: 48 }));
    this.buttons = BUTTONS.map((name) => {
      const [x, y, width, height, rx, text] = PLACES[name];
      const group = made("g", { class: "pad-button", "data-button": name });
      group.append(made("rect", { x, y, width, height, rx }));
      const words = made("text", { x: x + width / 2, y: y + height / 2 });
      words.textContent = text;
      group.append(words);
      svg.append(group);
      return group;
    });
    this.knobs = Object.entries(STICKS).map(([name, [x, y]]) => {
      svg.append(made("circle", { class: "pad-well", cx: x, cy: y, r: STICK_RADIUS }));
      const knob = made("circle", { class: "pad-knob", "data-stick": name, cx: x, cy: y, r: KNOB_RADIUS });
      svg.append(knob);
      return [name, knob, x, y];
    });
    element.replaceChildren(svg);
    this.svg = svg;
  }

  /** Show a row; `by`: "model", "human" or "" (nobody), for the colour. */
  show(pad, by = "model") {
    this.svg.dataset.by = by;
    pad.buttons.forEach((value, column) => {
      this.buttons[column].classList.toggle("pressed", value > 0.5);
    });
    for (const [name, knob, x, y] of this.knobs) {
      const reach = STICK_RADIUS - KNOB_RADIUS / 2;
      knob.setAttribute("cx", x + pad[name][0] * reach);
      knob.setAttribute("cy", y + pad[name][1] * reach);
      knob.classList.toggle("moved", Math.hypot(...pad[name]) > 0.1);
    }
  }
}

function made(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
