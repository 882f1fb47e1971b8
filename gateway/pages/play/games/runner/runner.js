// The sample game: run to the right, jump over gaps and on slimes, take the coins.

import { held, row } from "../../common/gamepad.js";
import { HERO_HEIGHT, HERO_WIDTH, Hero } from "./hero.js";
import { Level, TILE } from "./level.js";
import { Scene } from "./scene.js";

const WIDTH = 256;
const HEIGHT = 240;
const HEARTS = 3;
// In steps: how long a blow leaves the hero safe, and how long the words at the end stay.
const SAFE = 90;
const PAUSE = 90;

/** `seed`: the first level's; each further level has another. */
export class RunnerGame {
  title = "Dusk Run";
  width = WIDTH;
  height = HEIGHT;
  // How its pictures become square; named as on port 5556.
  resizeMode = "pad";
  canPress = true;

  constructor(seed = Date.now()) {
    this.seed = seed;
    this.scene = new Scene(WIDTH, HEIGHT);
    this.pad = row();
    this.reset();
  }

  /** Draw the game as it is now, and return the picture. */
  frame() {
    this.scene.draw(this);
    return this.scene.canvas;
  }

  /** Hold these buttons from the next step on. */
  press(pad) {
    this.pad = pad;
  }

  /** Advance by a sixtieth of a second; return whether the game began again. */
  step() {
    this.tick += 1;
    if (this.hearts === 0) {
      this.over += 1;
      if (this.over > PAUSE) this.reset();
      return this.over === 0;
    }
    this.hero.step(this.wanted(), this.level);
    this.level.reach(Math.floor((this.camera + 2 * WIDTH) / TILE));
    this.safe = Math.max(0, this.safe - 1);
    this.takeCoins();
    this.moveSlimes();
    if (this.hero.stands && this.level.surface(this.column()) < 15) this.lastStand = this.hero.x;
    if (this.hero.y > HEIGHT + 3 * TILE) this.blow({ fell: true });
    this.distance = Math.max(this.distance, Math.floor(this.hero.x / TILE));
    // The camera follows the hero.
    this.camera = Math.max(0, this.camera + (this.hero.x - 96 - this.camera) * 0.12);
    return false;
  }

  /** Begin again, on another level. */
  reset() {
    this.level = new Level(this.seed);
    this.seed += 1;
    this.hero = new Hero(3 * TILE, this.level.surface(3) * TILE);
    Object.assign(this, { tick: 0, camera: 0, coins: 0, distance: 0, hearts: HEARTS, safe: 0, over: 0 });
    this.lastStand = this.hero.x;
  }

  close() {}

  column() {
    return Math.floor(this.hero.x / TILE);
  }

  wanted() {
    const pressed = held(this.pad);
    return {
      left: pressed.has("DPAD_LEFT") || pressed.has("LEFT_STICK_LEFT"),
      right: pressed.has("DPAD_RIGHT") || pressed.has("LEFT_STICK_RIGHT"),
      jump: pressed.has("SOUTH"),
      dash: pressed.has("WEST") || pressed.has("EAST"),
    };
  }

  takeCoins() {
    const { hero, level } = this;
    const left = level.coins.filter(
      (coin) => Math.abs(coin.x - hero.x) > 10 || Math.abs(coin.y - (hero.y - HERO_HEIGHT / 2)) > 13,
    );
    this.coins += level.coins.length - left.length;
    level.coins = left;
  }

  moveSlimes() {
    const { hero, level } = this;
    for (const slime of level.slimes) {
      if (slime.squashed) {
        slime.squashed += 1;
        continue;
      }
      slime.x += slime.speed;
      if (slime.x < slime.left || slime.x > slime.right) slime.speed = -slime.speed;
      const isNear = Math.abs(slime.x - hero.x) < HERO_WIDTH / 2 + 6 && hero.y > slime.y - 9;
      if (!isNear || hero.y - HERO_HEIGHT > slime.y) continue;
      if (hero.vy > 0 && hero.y < slime.y - 1) {
        slime.squashed = 1;
        this.coins += 2;
        hero.vy = -3.2;
      } else if (!this.safe) {
        this.blow({ fell: false });
      }
    }
    level.slimes = level.slimes.filter((slime) => slime.squashed < 30);
  }

  blow({ fell }) {
    this.hearts -= 1;
    this.safe = SAFE;
    if (fell) this.hero = new Hero(this.lastStand, 2 * TILE);
    else Object.assign(this.hero, { vx: -2 * this.hero.facing, vy: -2.5 });
  }
}
