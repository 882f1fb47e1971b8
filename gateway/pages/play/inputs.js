// The player's keyboard and gamepad.

import { row } from "./common/gamepad.js";

// Keys by their position, whatever is printed on them.
const KEYS = {
  ArrowUp: "DPAD_UP", ArrowDown: "DPAD_DOWN", ArrowLeft: "DPAD_LEFT", ArrowRight: "DPAD_RIGHT",
  KeyW: "DPAD_UP", KeyS: "DPAD_DOWN", KeyA: "DPAD_LEFT", KeyD: "DPAD_RIGHT",
  Space: "SOUTH", KeyK: "SOUTH", KeyJ: "WEST", KeyL: "EAST", KeyI: "NORTH",
  KeyQ: "LEFT_SHOULDER", KeyE: "RIGHT_SHOULDER", Enter: "START", Backspace: "BACK",
};
const GIVE_BACK = "Escape";
const PRESSES_CONTROL = ["Enter", "Space"];
// The buttons of a browser's "standard" gamepad, in its order.
const STANDARD = [
  "SOUTH", "EAST", "WEST", "NORTH", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_TRIGGER", "RIGHT_TRIGGER",
  "BACK", "START", "LEFT_THUMB", "RIGHT_THUMB", "DPAD_UP", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "GUIDE",
];
const REST = 0.15;
const TOUCHED = 0.5;

/** `giveBack`: called when the player presses the key that gives control back. */
export class Inputs {
  constructor(giveBack) {
    this.keys = new Set(); // by position: two of them may press the same button
    this.tapped = new Set(); // since the last reading, perhaps up again by now
    addEventListener("keydown", (event) => {
      if (event.code === GIVE_BACK) giveBack();
      if (!isForGame(event)) return;
      event.preventDefault();
      this.keys.add(event.code);
      this.tapped.add(event.code);
    });
    addEventListener("keyup", ({ code }) => this.keys.delete(code));
    addEventListener("blur", () => this.keys.clear());
  }

  /** The pad as the player holds it now, and whether the player touches it. */
  read() {
    const pressed = new Set([...this.keys, ...this.tapped].map((code) => KEYS[code]));
    this.tapped.clear();
    const sticks = [[0, 0], [0, 0]];
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad?.connected || pad.mapping !== "standard") continue;
      pad.buttons.forEach((button, number) => {
        if (button.pressed && STANDARD[number]) pressed.add(STANDARD[number]);
      });
      pad.axes.slice(0, 4).forEach((value, axis) => push(sticks[axis >> 1], axis % 2, value));
    }
    const isTouched = pressed.size > 0 || sticks.flat().some((value) => Math.abs(value) >= TOUCHED);
    return { pad: row(pressed, ...sticks), isTouched };
  }
}

/** Push a stick's axis to a value, unless another gamepad pushes it further. */
function push(stick, axis, value) {
  if (Math.abs(value) < Math.max(REST, Math.abs(stick[axis]))) return;
  stick[axis] = Math.max(-1, Math.min(1, value));
}

/** Whether a key is for the game: not a shortcut, and not one that a control of the page uses. */
function isForGame(event) {
  if (!(event.code in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return false;
  const control = event.target.closest?.("a, button, input, select, summary, textarea");
  if (!control) return true;
  return control.matches("a, button, summary, [type=checkbox]") && !PRESSES_CONTROL.includes(event.code);
}
