// Chooses the game: the sample game, a NES game from a file, or a window of the player's.

import { BadRomError, NesGame, NoEmulatorError, emulator } from "./games/nes.js";
import { RunnerGame } from "./games/runner/runner.js";
import { NoWindowError, checkSharing, sharedWindow } from "./games/shared_window.js";

const id = (name) => document.getElementById(name);
// Errors whose messages are for the player.
const KNOWN = [BadRomError, NoEmulatorError, NoWindowError];
// No cartridge was ever larger.
const MAX_ROM_BYTES = 8 * 2 ** 20;

export class GameChooser {
  /** `seed`: the sample game's, or null. `say`: called with the problem, null when it is over. */
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
    else if (kind === "nes") await this.saying(emulator);
    else await this.saying(checkSharing);
  }

  async openRom(file) {
    if (file.size > MAX_ROM_BYTES) {
      this.say(`${file.name} has ${file.size} bytes, more than any NES game has: choose another file.`);
      return;
    }
    const rom = new Uint8Array(await file.arrayBuffer());
    const game = await this.saying(async () => new NesGame(await emulator(), rom, file.name));
    if (game) this.play(game);
  }

  async share() {
    const game = await this.saying(() => sharedWindow(() => this.choose("runner")));
    if (game) this.play(game);
  }

  /** Return what `open` returns; if it fails with a known error, tell the player and return null. */
  async saying(open) {
    try {
      return await open();
    } catch (error) {
      if (!KNOWN.some((kind) => error instanceof kind)) throw error;
      this.say(error.message);
      return null;
    }
  }

  play(game) {
    this.say(null);
    this.player.play(game);
    id("game-title").textContent = game.title;
    id("by").textContent = game.canPress ? "The model plays" : "The model only watches";
    id("pad-title").textContent = game.canPress ? "Pressed now" : "The model would press";
    id("hand").hidden = !game.canPress;
    id("restart").hidden = !game.canPress;
    id("sound").hidden = game.sound === undefined;
    this.sound(false);
  }

  sound(isOn) {
    this.player.game.sound?.set(isOn);
    id("sound").textContent = isOn ? "Sound off" : "Sound on";
  }

  /** Take a ROM that is dropped anywhere on the page. Otherwise the browser would open it in place of the page. */
  takeDrops(stage) {
    addEventListener("dragover", (event) => {
      event.preventDefault();
      stage.classList.add("dropping");
    });
    addEventListener("dragleave", () => stage.classList.remove("dropping"));
    addEventListener("drop", async (event) => {
      event.preventDefault();
      stage.classList.remove("dropping");
      const [file] = event.dataTransfer.files;
      if (!file) return;
      await this.choose("nes");
      await this.openRom(file);
    });
  }
}
