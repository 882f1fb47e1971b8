// Which row of which chunk is due, for chunks that come while the game goes on.

import { row } from "./common/gamepad.js";

const NEUTRAL = row();
const REMEMBERED_DELAYS = 5;
const REMEMBERED_USUAL_DELAYS = 10;

/**
 * A chunk's first row belongs to the tick whose picture it answers. When a chunk arrives, the rows of ticks that have
 * passed are dropped, and the rest takes over at once. If all of its ticks have passed, the last row is played. After
 * its end, a chunk's last row is held for as long again as the chunk, and then the pad is let go.
 *
 * Ticks are the game's steps; `ticksPerRow`: how many of them a row is held for.
 */
export class ChunkSchedule {
  constructor(ticksPerRow = 1) {
    this.ticksPerRow = ticksPerRow;
    this.rows = [];
    this.first = 0;
    this.delays = []; // of the last answers, in ticks
    this.usualDelays = []; // the same without the very first, which may have waited for the model to load
    this.pictured = 0;
    this.brokenAt = 0;
  }

  /** Switch to a chunk that answers the picture of tick `pictured`; `delay`: ticks that the answer took. */
  take(rows, pictured, now, delay = now - pictured) {
    const age = now - pictured;
    const late = Math.min(Math.floor(age / this.ticksPerRow), rows.length - 1);
    if (this.delays.length) this.usualDelays = [...this.usualDelays, delay].slice(-REMEMBERED_USUAL_DELAYS);
    this.delays = [...this.delays, delay].slice(-REMEMBERED_DELAYS);
    this.rows = rows;
    this.pictured = pictured;
    this.first = now - late * this.ticksPerRow - (age % this.ticksPerRow);
  }

  /** Forget the chunk, as when the game begins again. */
  clear() {
    this.rows = [];
    this.first = 0;
    this.brokenAt = 0;
  }

  /** Let no chunk follow from one that answers an older picture than this tick's: a pause, say, came between. */
  breakOff(now) {
    this.brokenAt = now;
  }

  /**
   * The rows that the chunk still has to press from a tick on, and how many of them will have been pressed when the
   * answer to this tick's picture arrives: {rows, delay}. Null when the next chunk has nothing to follow.
   */
  toFollow(now) {
    const { index } = this.due(now);
    if (index < 0 || this.pictured < this.brokenAt || !this.usualDelays.length) return null;
    return { rows: this.rows.slice(index), delay: Math.ceil(Math.max(...this.usualDelays) / this.ticksPerRow) };
  }

  /** The row for a tick and its index in the chunk; -1 if no row of the chunk is due. */
  due(now) {
    const index = Math.floor((now - this.first) / this.ticksPerRow);
    if (index < this.rows.length) return { pad: this.rows[index], index };
    if (index < 2 * this.rows.length) return { pad: this.rows.at(-1), index: -1 };
    return { pad: NEUTRAL, index: -1 };
  }

  /** Whether all rows have been played. */
  isOver(now) {
    return now >= this.first + this.rows.length * this.ticksPerRow;
  }

  /** Whether a chunk that is asked for now will come just in time, if it takes as long as the last ones. */
  wantsChunk(now) {
    const left = this.first + this.rows.length * this.ticksPerRow - now;
    return this.rows.length === 0 || left <= Math.max(0, ...this.delays) + this.ticksPerRow;
  }
}
