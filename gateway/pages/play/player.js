// Plays a game: sends pictures to the model, and presses its chunks or the player's own keys.

import { MENU_BUTTONS, held, predOf, row, rowsOf } from "./common/gamepad.js";
import { ConnectionLostError } from "./connection.js";
import { ChunkSchedule } from "./schedule.js";

const TICK_MS = 1000 / 60;
// A page that was asleep (a hidden tab, a closed laptop) does not catch up.
const MAX_CATCH_UP_MS = 100;
const ASLEEP_MS = 1000;
const BETWEEN_TRIES_MS = 500;
// A wait for an answer is long after this, and after this many times the longest of the last waits.
const LONG_WAIT_MS = 3000;
const LONG_WAIT_TIMES = 3;
const PLAYED_AT_ONCE = 64;
const REMEMBERED_DELAYS = 5;
// The page plays in real time below the first of these shares of a chunk's time, and in turns above the second.
const REAL_TIME_BELOW = 0.5;
const TURNS_ABOVE = 0.8;

export class Player {
  /**
   * `picture`: makes the model's pictures. `inputs`: the player's keys. `seen`: its functions are called with the
   * news: chunk(rows, delay), problem(sentence or null), waits(whether for long), by("model" or "human"), failed(the
   * game's error), and frame() at each picture of the screen.
   */
  constructor(connection, picture, inputs, seen) {
    Object.assign(this, { connection, picture, inputs, seen });
    this.game = null;
    this.options = {}; // each predict's seed, game, model
    this.noise = "fresh"; // or {memory: 0 to 1}, "tick"
    this.isConditioned = true; // in real time, where the model can
    this.time = "auto"; // or "turns", "real"
    this.isRealTime = false;
    this.allowMenu = false;
    this.isPaused = false;
    this.by = "model";
    this.pad = row();
    this.index = -1;
    this.served({ horizon: 18, action_downsample_ratio: 1 });
    this.restart();
    requestAnimationFrame((now) => this.frame(now));
  }

  /** Take the model's facts from `info`. */
  served(info) {
    this.schedule = new ChunkSchedule(Math.max(1, info.action_downsample_ratio));
    this.chunkMs = info.horizon * this.schedule.ticksPerRow * TICK_MS;
    this.canCondition = info.conditioning === true;
    this.delays = [];
  }

  /** Begin on a new connection, about whose delays nothing is known. */
  connected() {
    this.schedule = new ChunkSchedule(this.schedule.ticksPerRow);
    this.delays = [];
    this.begin();
  }

  /** Start this game. */
  play(game) {
    this.game?.close();
    this.game = game;
    this.isPaused = false;
    this.giveBack();
    this.begin();
  }

  /** Begin without a chunk, and tell the server to forget the pictures so far. */
  begin() {
    this.tellPlayed();
    this.restart();
    this.connection.request({ type: "reset" }).catch(ignoreLoss);
  }

  restart() {
    this.drop();
    this.notBefore = 0;
    this.tick = 0;
    this.played = { tick: 0, rows: [] };
    this.index = -1;
    this.pad = row();
  }

  /** Drop the chunk, and the answer that is on its way. */
  drop() {
    this.turn = {};
    this.isAsking = false;
    this.schedule.clear();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.schedule.breakOff(this.tick);
  }

  takeOver() {
    if (this.by === "human" || !this.game?.canPress) return;
    this.by = "human";
    this.drop();
    this.seen.by(this.by);
    this.seen.problem(null);
  }

  giveBack() {
    if (this.by === "model") return;
    this.by = "model";
    this.drop();
    this.seen.by(this.by);
  }

  frame(now) {
    const passed = now - (this.last ?? now);
    if (passed > ASLEEP_MS) this.schedule.breakOff(this.tick);
    this.last = now;
    this.owed = (this.owed ?? 0) + Math.min(passed, MAX_CATCH_UP_MS);
    const { pad, isTouched } = this.inputs.read();
    if (isTouched) this.takeOver();
    try {
      for (; this.owed >= TICK_MS; this.owed -= TICK_MS) {
        if (!this.isPaused) this.step(pad);
      }
    } catch (error) {
      this.isPaused = true;
      this.seen.failed(error);
    }
    this.seen.waits(this.waitsLong());
    this.seen.frame();
    requestAnimationFrame((later) => this.frame(later));
  }

  /** Play one tick; `pad`: the player's. In turns the game stands still while the model thinks. */
  step(pad) {
    if (this.by === "human") {
      // The server's recordings need the pictures of a human's play, too.
      if (this.schedule.wantsChunk(this.tick)) this.ask();
      this.index = -1;
      this.press(pad);
      return;
    }
    const isRealTime = !this.game.canPress || this.isRealTime;
    if (isRealTime ? this.schedule.wantsChunk(this.tick) : this.schedule.isOver(this.tick)) this.ask();
    if (!isRealTime && this.schedule.isOver(this.tick)) {
      this.index = -1;
      return;
    }
    const due = this.schedule.due(this.tick);
    this.index = due.index;
    this.press(due.pad);
  }

  press(pad) {
    this.pad = pad;
    this.game.press(pad);
    const beganAgain = this.game.step();
    this.tick += 1;
    if (opensMenu(pad)) this.schedule.breakOff(this.tick);
    if (this.game.canPress) this.played.rows.push({ by: this.by, ...pad });
    if (this.played.rows.length >= PLAYED_AT_ONCE) this.tellPlayed();
    if (beganAgain) this.begin();
  }

  ask() {
    if (this.isAsking || !this.connection.isOpen || performance.now() < this.notBefore) return;
    this.isAsking = true;
    this.tellPlayed();
    const { turn, tick } = this;
    const began = performance.now();
    this.askedAt = began;
    const pixels = this.picture.take(this.game.frame(), this.game.resizeMode);
    this.connection
      .request({ type: "predict", format: "rgba", timing: true, tick, ...this.options, ...this.smooth(tick) }, pixels)
      .then((reply) => turn === this.turn && this.answered(reply, tick, performance.now() - began))
      .catch(ignoreLoss)
      .finally(() => {
        if (turn === this.turn) this.isAsking = false;
      });
  }

  /** The fields `noise`, `previous` and `delay` of a predict, which make its chunk fit the present one. */
  smooth(tick) {
    const fields = {};
    if (this.noise === "tick") fields.noise = { tick: Math.floor(tick / this.schedule.ticksPerRow) };
    else if (this.noise !== "fresh") fields.noise = this.noise;
    const isOn = this.isConditioned && this.canCondition && this.game.canPress && this.by === "model";
    const following = isOn ? this.schedule.toFollow(tick) : null;
    if (following) Object.assign(fields, { previous: predOf(following.rows), delay: following.delay });
    return fields;
  }

  /** Whether the model plays, and has not answered for longer than usual. */
  waitsLong() {
    if (!this.isAsking || this.by === "human") return false;
    return performance.now() - this.askedAt > Math.max(LONG_WAIT_MS, LONG_WAIT_TIMES * Math.max(0, ...this.delays));
  }

  answered(reply, tick, tookMs) {
    if (reply.status !== "ok") {
      this.schedule.breakOff(this.tick);
      this.notBefore = performance.now() + BETWEEN_TRIES_MS;
      if (this.by === "model") this.seen.problem(reply.message);
      return;
    }
    const rows = rowsOf(reply.pred, this.allowMenu ? [] : MENU_BUTTONS);
    // In turns no tick passes while the model thinks: count those that would pass in real time.
    const delay = Math.max(this.tick - tick, this.isRealTime ? 0 : Math.round(tookMs / TICK_MS));
    this.schedule.take(rows, tick, this.tick, delay);
    const { infer_ms: model = tookMs, total_ms: total = tookMs } = reply.timing ?? {};
    this.choose(tookMs);
    this.seen.problem(null);
    this.seen.chunk(rows, { network: tookMs - total, queue: total - model, model });
  }

  /** Choose between turns and real time, from the last delays. */
  choose(tookMs) {
    this.delays = [...this.delays, tookMs].slice(-REMEMBERED_DELAYS);
    if (this.time !== "auto") {
      this.isRealTime = this.time === "real";
      return;
    }
    const usual = [...this.delays].sort((one, other) => one - other)[Math.floor(this.delays.length / 2)];
    if (usual < REAL_TIME_BELOW * this.chunkMs && this.delays.length === REMEMBERED_DELAYS) this.isRealTime = true;
    if (usual > TURNS_ABOVE * this.chunkMs) this.isRealTime = false;
  }

  /** Tell the server what has been pressed since the last call. */
  tellPlayed() {
    const { tick, rows } = this.played;
    this.played = { tick: this.tick, rows: [] };
    if (!rows.length) return;
    this.connection.request({ type: "played", tick, rows }).catch(ignoreLoss);
  }
}

function opensMenu(pad) {
  const names = held(pad);
  return MENU_BUTTONS.some((name) => names.has(name));
}

function ignoreLoss(error) {
  // The connection itself tells the page.
  if (!(error instanceof ConnectionLostError)) throw error;
}
