// The hero's movement: it runs, jumps higher while the button is held, and stands on tiles. Units are pixels and
// sixtieths of a second.

import { TILE } from "./level.js";

export const HERO_WIDTH = 10;
export const HERO_HEIGHT = 15;
const WALK = 1.5;
const DASH = 2.3;
const ACCELERATION = 0.12;
const FRICTION = 0.18;
const GRAVITY = 0.32;
const GRAVITY_HELD = 0.18;
const FALL = 5;
const JUMP = 4.6;
// A jump counts even if it comes a little too early or too late.
const GRACE = 6;

/** `x`, `y`: the middle of the hero's feet. */
export class Hero {
  constructor(x, y) {
    Object.assign(this, { x, y, vx: 0, vy: 0, facing: 1, stands: false, stride: 0 });
    this.sinceGround = GRACE;
    this.sincePress = GRACE;
    this.wasJump = false;
  }

  /** One step; `wanted`: {left, right, jump, dash}. */
  step(wanted, level) {
    this.run(wanted);
    this.sincePress = wanted.jump && !this.wasJump ? 0 : this.sincePress + 1;
    this.wasJump = wanted.jump;
    if (this.sincePress < GRACE && this.sinceGround < GRACE) {
      this.vy = -JUMP - Math.abs(this.vx) * 0.15;
      this.sincePress = GRACE;
      this.sinceGround = GRACE;
    }
    this.vy = Math.min(FALL, this.vy + (wanted.jump && this.vy < 0 ? GRAVITY_HELD : GRAVITY));
    this.moveAcross(level);
    this.moveDown(level);
    this.sinceGround = this.stands ? 0 : this.sinceGround + 1;
    this.stride += Math.abs(this.vx);
  }

  run(wanted) {
    const direction = Number(wanted.right) - Number(wanted.left);
    const most = wanted.dash ? DASH : WALK;
    if (direction) {
      this.facing = direction;
      this.vx = Math.max(-most, Math.min(most, this.vx + direction * ACCELERATION));
    } else {
      this.vx = Math.sign(this.vx) * Math.max(0, Math.abs(this.vx) - FRICTION);
    }
  }

  moveAcross(level) {
    this.x += this.vx;
    const side = this.x + Math.sign(this.vx) * (HERO_WIDTH / 2);
    for (const height of [1, HERO_HEIGHT / 2, HERO_HEIGHT - 1]) {
      if (this.vx && level.isSolid(Math.floor(side / TILE), Math.floor((this.y - height) / TILE))) {
        const edge = Math.floor(side / TILE) * TILE + (this.vx < 0 ? TILE : 0);
        this.x = edge - Math.sign(this.vx) * (HERO_WIDTH / 2 + 0.01);
        this.vx = 0;
      }
    }
  }

  moveDown(level) {
    this.y += this.vy;
    this.stands = false;
    for (const x of [this.x - HERO_WIDTH / 2 + 1, this.x + HERO_WIDTH / 2 - 1]) {
      const column = Math.floor(x / TILE);
      if (this.vy >= 0 && level.isSolid(column, Math.floor(this.y / TILE))) {
        this.y = Math.floor(this.y / TILE) * TILE;
        this.vy = 0;
        this.stands = true;
      } else if (this.vy < 0 && level.isSolid(column, Math.floor((this.y - HERO_HEIGHT) / TILE))) {
        this.y = (Math.floor((this.y - HERO_HEIGHT) / TILE) + 1) * TILE + HERO_HEIGHT;
        this.vy = 0;
      }
    }
  }
}
