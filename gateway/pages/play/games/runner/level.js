// The endless level: columns of 16-pixel tiles, generated from a seed as far ahead as they are needed.

export const TILE = 16;
export const ROWS = 15;
const START_COLUMNS = 9;

/** A generator of numbers from 0 to 1, determined by a seed (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Columns of ground, gaps, floating planks, coins and slimes. */
export class Level {
  constructor(seed) {
    this.random = random(seed);
    this.columns = []; // {ground: rows of earth, plank: its row or -1}
    this.coins = []; // {x, y} of the centre
    this.slimes = []; // {x, y} of the feet, {left, right}: how far it walks
    this.ground = 3;
    this.flat(START_COLUMNS);
    for (const column of [6, 7, 8]) this.coin(column, this.surface(column) - 2);
  }

  /** Whether a tile is solid. Tiles above the picture are not. */
  isSolid(column, row) {
    if (column < 0) return true;
    this.reach(column);
    const { ground, plank } = this.columns[column];
    return row >= ROWS - ground || row === plank;
  }

  /** The row of the ground's surface in a column; ROWS over a gap. */
  surface(column) {
    this.reach(column);
    return ROWS - this.columns[column].ground;
  }

  /** Make the level at least as long as this column. */
  reach(column) {
    while (this.columns.length <= column) this.extend();
  }

  whole(least, most) {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  flat(count, plank = -1) {
    for (let made = 0; made < count; made += 1) this.columns.push({ ground: this.ground, plank });
  }

  extend() {
    const kind = this.random();
    if (kind < 0.34) this.gap();
    else if (kind < 0.58) this.hill();
    else if (kind < 0.8) this.meadow();
    else this.planks();
  }

  /** A gap that a jump can cross, with an arc of coins over it. */
  gap() {
    this.flat(3);
    const width = this.whole(2, 3);
    const first = this.columns.length;
    const row = this.surface(first - 1) - 3;
    for (let made = 0; made < width; made += 1) this.columns.push({ ground: 0, plank: -1 });
    for (let place = 0; place < width; place += 1) {
      const isEdge = place === 0 || place === width - 1;
      this.coin(first + place, row + (isEdge ? 1 : 0));
    }
    this.flat(this.whole(3, 4));
  }

  /** A step up or down. */
  hill() {
    const change = this.whole(1, 2) * (this.random() < 0.5 ? -1 : 1);
    this.ground = Math.min(6, Math.max(2, this.ground + change));
    this.flat(this.whole(4, 6));
    if (this.random() < 0.6) this.coin(this.columns.length - 2, this.surface(this.columns.length - 2) - 2);
  }

  /** An opponent on flat ground. */
  meadow() {
    const first = this.columns.length;
    const count = this.whole(7, 10);
    this.flat(count);
    this.coin(first + 3, this.surface(first) - 3);
    this.coin(first + 4, this.surface(first) - 3);
    this.slimes.push({
      x: (first + count - 2) * TILE,
      y: this.surface(first) * TILE,
      left: (first + 2) * TILE,
      right: (first + count - 1) * TILE,
      speed: -0.5,
      squashed: 0,
    });
  }

  /** Planks in the air with coins on them. */
  planks() {
    this.flat(2);
    const first = this.columns.length;
    const count = this.whole(3, 5);
    const row = ROWS - this.ground - 4;
    this.flat(count, row);
    for (let place = 0; place < count; place += 1) this.coin(first + place, row - 1);
    this.flat(2);
  }

  coin(column, row) {
    this.coins.push({ x: column * TILE + TILE / 2, y: row * TILE + TILE / 2 });
  }
}
