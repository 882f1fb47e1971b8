// Which row of which chunk is due, when chunks come while the game goes on.

import { row } from "./common/gamepad.js";

const NEUTRAL = row();
const REMEMBERED_DELAYS = 5;

/**
 * A chunk's first row belongs to the tick whose picture it answers. When it arrives, the rows of the ticks that
 * have passed since are dropped, and the rest takes over at once. If all of them have passed, the last one is
 * played. Then the last row is held for as long again as a chunk is, and after that the pad is let go.
 *
 * Ticks are the game's steps; `ticksPerRow`: for how many of them a row is held.
 */
export class ChunkSchedule {
  constructor(ticksPerRow = 1) {
    this.ticksPerRow = ticksPerRow;
    this.rows = [];
    this.first = 0;
    this.delays = [];
  }

  /** Change over to a chunk that answers the picture of tick `pictured`. */
  take(rows, pictured, now) {
    const age = now - pictured;
    const late = Math.min(Math.floor(age / this.ticksPerRow), rows.length - 1);
    this.delays = [...this.delays, age].slice(-REMEMBERED_DELAYS);
    this.rows = rows;
    this.first = now - late * this.ticksPerRow - (age % this.ticksPerRow);
  }

  /** Forget the chunk, as when the game begins again. */
  clear() {
    this.rows = [];
    this.first = 0;
  }

  /** The row for a tick and its index in the chunk, -1 when it is not the chunk's own. */
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

  /** Whether a chunk that is asked for now comes just in time, as long as the last ones took. */
  wantsChunk(now) {
    const left = this.first + this.rows.length * this.ticksPerRow - now;
    return this.rows.length === 0 || left <= Math.max(0, ...this.delays) + this.ticksPerRow;
  }
}
