// The player's own keyboard and gamepad.

import { row } from "../common/gamepad.js";

// Keys by where they sit, whatever is printed on them.
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

/** `giveBack`: called when the key for it is pressed. */
export class Inputs {
  constructor(giveBack) {
    this.keys = new Set();
    addEventListener("keydown", (event) => {
      if (event.code === GIVE_BACK) giveBack();
      if (!isForGame(event)) return;
      event.preventDefault();
      this.keys.add(KEYS[event.code]);
    });
    addEventListener("keyup", ({ code }) => this.keys.delete(KEYS[code]));
    addEventListener("blur", () => this.keys.clear());
  }

  /** What the player presses now, and whether that is anything. */
  read() {
    const pressed = new Set(this.keys);
    let [left, right] = [[0, 0], [0, 0]];
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad?.connected || pad.mapping !== "standard") continue;
      pad.buttons.forEach((button, number) => {
        if (button.pressed && STANDARD[number]) pressed.add(STANDARD[number]);
      });
      const axes = pad.axes.map((value) => (Math.abs(value) < REST ? 0 : Math.max(-1, Math.min(1, value))));
      left = axes.slice(0, 2);
      right = axes.slice(2, 4);
    }
    const isTouched = pressed.size > 0 || [...left, ...right].some((value) => Math.abs(value) >= TOUCHED);
    return { pad: row(pressed, left, right), isTouched };
  }
}

/** Whether a key is the game's: one of its own, not a shortcut, and not what a control of the page takes. */
function isForGame(event) {
  if (!(event.code in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return false;
  const control = event.target.closest?.("a, button, input, select, summary, textarea");
  if (!control) return true;
  return control.matches("a, button, summary, [type=checkbox]") && !PRESSES_CONTROL.includes(event.code);
}
