// NES games by the emulator jsnes, which `make web` fetches.

import { held, row } from "../common/gamepad.js";
import { Sound } from "./sound.js";

const WIDTH = 256;
const HEIGHT = 240;
// Each of the console's buttons, the emulator's number for it, and the pad's buttons that press it, as in
// clients/consoles.toml.
export const BUTTONS = [
  ["A", 0, ["SOUTH"]],
  ["B", 1, ["EAST", "WEST"]],
  ["Select", 2, ["BACK"]],
  ["Start", 3, ["START"]],
  ["Up", 4, ["DPAD_UP", "LEFT_STICK_UP"]],
  ["Down", 5, ["DPAD_DOWN", "LEFT_STICK_DOWN"]],
  ["Left", 6, ["DPAD_LEFT", "LEFT_STICK_LEFT"]],
  ["Right", 7, ["DPAD_RIGHT", "LEFT_STICK_RIGHT"]],
];

const NO_EMULATOR = "This server has no NES emulator. To add it, run `make web` on the server and restart it.";

/** The server does not have the emulator. */
export class NoEmulatorError extends Error {}

/** The emulator does not accept the game's file. */
export class BadRomError extends Error {}

/** Fetch the emulator, once. */
export function emulator() {
  if (globalThis.jsnes) return Promise.resolve(globalThis.jsnes);
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "emulator/jsnes.min.js";
    script.addEventListener("load", () => resolve(globalThis.jsnes));
    script.addEventListener("error", () => {
      script.remove();
      reject(new NoEmulatorError(NO_EMULATOR));
    });
    document.head.append(script);
  });
}

/** `jsnes`: the emulator; `rom`: the file's bytes; `title`: its name. */
export class NesGame {
  width = WIDTH;
  height = HEIGHT;
  resizeMode = "crop";
  canPress = true;

  constructor(jsnes, rom, title) {
    this.title = title;
    this.rom = rom;
    this.pad = row();
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.canvas.height = HEIGHT;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    this.image = this.context.createImageData(WIDTH, HEIGHT);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.sound = new Sound();
    this.nes = new jsnes.NES({
      onFrame: (buffer) => this.take(buffer),
      onAudioSample: (left, right) => this.sound.add(left, right),
      sampleRate: this.sound.rate,
    });
    this.reset();
  }

  frame() {
    return this.canvas;
  }

  press(pad) {
    this.pad = pad;
  }

  step() {
    const pressed = held(this.pad);
    for (const [, number, names] of BUTTONS) {
      if (names.some((name) => pressed.has(name))) this.nes.buttonDown(1, number);
      else this.nes.buttonUp(1, number);
    }
    this.nes.frame();
    this.sound.flush();
    return false;
  }

  reset() {
    try {
      this.nes.loadROM(this.rom);
      this.nes.frame();
    } catch (error) {
      const reason = error.message.replace(/\.$/, "");
      throw new BadRomError(`${this.title} cannot be played: ${reason}. Choose another file.`);
    }
  }

  close() {
    this.sound.close();
  }

  take(buffer) {
    // The emulator's numbers are 0xBBGGRR, a canvas's order of bytes without the alpha.
    for (let index = 0; index < this.pixels.length; index += 1) this.pixels[index] = 0xff000000 | buffer[index];
    this.context.putImageData(this.image, 0, 0);
  }
}
