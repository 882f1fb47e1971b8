// The chosen player: its last frame, its pad, its chunk, and its delay over the last minutes.

import { DelayChart } from "/common/chart.js";
import { row, rowsOf } from "/common/gamepad.js";
import { PadPicture } from "/common/pad.js";
import { ChunkStrip } from "/common/strip.js";
import { milliseconds } from "./players.js";

const STAGES = ["receive", "decode", "queue", "infer", "reply"];
const KEPT_SECONDS = 180;
// A chunk is shown over about the time from one chunk to the next, within these limits.
const FASTEST_MS = 100;
const SLOWEST_MS = 3000;
const WORDS = { model: "by the model", human: "by a human" };

export class ShownPlayer {
  constructor(page) {
    this.page = page;
    this.image = page.querySelector("#seen");
    this.by = page.querySelector("#by");
    this.pad = new PadPicture(page.querySelector("#pad"));
    this.strip = new ChunkStrip(page.querySelector("#strip"));
    this.chart = new DelayChart(page.querySelector("#delay"), STAGES.map((name) => `--${name}`), KEPT_SECONDS);
    this.histories = new Map();
    this.id = "";
    this.clear();
    requestAnimationFrame(() => this.play());
  }

  /** Show a player, of whom only the delays from the list are known so far. */
  choose(id) {
    if (id === this.id) return;
    this.id = id;
    this.page.hidden = !id;
    this.clear();
    this.chart.set(this.histories.get(id) ?? []);
  }

  clear() {
    this.rows = [];
    this.picture = 0;
    this.began = 0;
    this.lasts = 1000;
    this.image.hidden = true;
    this.strip.clear();
    this.strip.used.clear();
    this.letGo();
  }

  /** Take the list of players, which comes every second and has each player's delays. */
  takeList(players) {
    const present = new Set(players.map((player) => player.id));
    for (const id of this.histories.keys()) if (!present.has(id)) this.histories.delete(id);
    for (const { id, idle_s: idle, stages_ms: stages } of players) {
      if (!stages || idle > 1.5) continue;
      const point = STAGES.map((name) => (name === "reply" ? stages.encode + stages.send : stages[name]));
      const history = [...(this.histories.get(id) ?? []), point].slice(-KEPT_SECONDS);
      this.histories.set(id, history);
      if (id !== this.id) continue;
      this.chart.set(history);
      STAGES.forEach((name, index) => {
        this.page.querySelector(`[data-stage="${name}"]`).textContent = milliseconds(point[index]);
      });
    }
  }

  /** Take the news about the chosen player. */
  take(shown) {
    if (shown.id !== this.id) return;
    const isNew = shown.picture !== this.picture;
    if (shown.png) {
      this.image.src = `data:image/png;base64,${shown.png}`;
      this.image.hidden = false;
    }
    if (isNew) {
      const now = performance.now();
      if (this.began) this.lasts = Math.min(Math.max(now - this.began, FASTEST_MS), SLOWEST_MS);
      this.began = now;
      this.picture = shown.picture;
      // A picture has no actions if its request failed.
      const chunk = shown.pred ? rowsOf(shown.pred) : [];
      this.strip.take(chunk);
      this.rows = chunk.map((pad) => ({ ...pad, by: "model" }));
      if (!chunk.length) this.letGo();
    }
    // The rows that were really pressed say more than the answer.
    if (shown.played?.length) this.rows = shown.played;
  }

  /** Advance the pad and the playhead. */
  play() {
    if (this.rows.length) {
      const part = Math.min((performance.now() - this.began) / this.lasts, 1);
      const pad = this.rows[Math.min(Math.floor(part * this.rows.length), this.rows.length - 1)];
      this.pad.show(pad, pad.by);
      this.say(pad.by);
      this.strip.seek(Math.min(Math.floor(part * this.strip.rows.length), this.strip.rows.length - 1));
    }
    requestAnimationFrame(() => this.play());
  }

  letGo() {
    this.pad.show(row(), "");
    this.say("");
  }

  say(by) {
    if (this.by.dataset.by === by) return;
    this.by.dataset.by = by;
    this.by.textContent = WORDS[by] ?? "";
  }
}
