// Choosing what is played: the sample game, a NES game from a file, or a window of the player's.

import { BadRomError, NesGame, NoEmulatorError, emulator } from "./games/nes.js";
import { RunnerGame } from "./games/runner/runner.js";
import { NoWindowsError, sharedWindow } from "./games/shared_window.js";

const id = (name) => document.getElementById(name);
const NO_EMULATOR =
  "This server has no NES emulator. Whoever runs it fetches one with: make web (the container image has it).";
const NO_WINDOWS =
  "This browser gives a page a window only over HTTPS, or from this machine (localhost).";
// No cartridge was larger.
const LARGEST_ROM = 8 * 2 ** 20;

export class GameChooser {
  /** `seed`: of the sample game, or null. `say`: called with what is wrong, null when nothing is. */
  constructor(player, seed, say) {
    Object.assign(this, { player, seed, say });
    id("game").addEventListener("change", ({ target }) => this.choose(target.value));
    id("rom").addEventListener("change", ({ target }) => target.files[0] && this.openRom(target.files[0]));
    id("share").addEventListener("click", () => this.share());
    id("sound").addEventListener("click", () => this.sound(!this.player.game.sound.isOn));
    this.takeDrops(id("stage"));
  }

  /** Choose a kind of game: "runner", "nes" or "window". */
  async choose(kind) {
    id("game").value = kind;
    id("rom-choice").hidden = kind !== "nes";
    id("share").hidden = kind !== "window";
    this.say(null);
    if (kind === "runner") this.play(new RunnerGame(this.seed === null ? undefined : Number(this.seed)));
    else if (kind === "nes") await this.loadEmulator();
    else if (!navigator.mediaDevices?.getDisplayMedia) this.say(NO_WINDOWS);
  }

  async loadEmulator() {
    try {
      return await emulator();
    } catch (error) {
      if (!(error instanceof NoEmulatorError)) throw error;
      this.say(NO_EMULATOR);
      return null;
    }
  }

  async openRom(file) {
    if (file.size > LARGEST_ROM) {
      this.say(`${file.name} has ${file.size} bytes, more than any NES game: choose another file.`);
      return;
    }
    const jsnes = await this.loadEmulator();
    if (jsnes === null) return;
    try {
      const rom = new Uint8Array(await file.arrayBuffer());
      this.play(new NesGame(jsnes, rom, file.name));
      this.say(null);
    } catch (error) {
      if (!(error instanceof BadRomError)) throw error;
      this.say(`${file.name} cannot be played: ${error.message} Choose another file.`);
    }
  }

  async share() {
    try {
      const game = await sharedWindow(() => this.choose("runner"));
      if (game !== null) this.play(game);
    } catch (error) {
      if (!(error instanceof NoWindowsError)) throw error;
      this.say(NO_WINDOWS);
    }
  }

  play(game) {
    this.player.play(game);
    id("game-title").textContent = game.title;
    id("hand").hidden = !game.canPress;
    id("restart").hidden = !game.canPress;
    id("sound").hidden = game.sound === undefined;
    this.sound(false);
  }

  sound(isOn) {
    this.player.game.sound?.set(isOn);
    id("sound").textContent = isOn ? "Sound off" : "Sound on";
  }

  takeDrops(stage) {
    stage.addEventListener("dragover", (event) => {
      event.preventDefault();
      stage.classList.add("dropping");
    });
    stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
    stage.addEventListener("drop", async (event) => {
      event.preventDefault();
      stage.classList.remove("dropping");
      const [file] = event.dataTransfer.files;
      if (!file) return;
      await this.choose("nes");
      await this.openRom(file);
    });
  }
}
