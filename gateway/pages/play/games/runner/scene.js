// The look of the sample game: sky, hills, tiles, figures and the score, in 256x240 pixels.

import { ROWS, TILE } from "./level.js";
import { sprites } from "./sprites.js";

const SKY = ["#2a2550", "#5b3a74", "#c25e6b", "#f5a65b"];
// Hills from far to near: colour, height of the crest, its swing and length, and how fast they move with the camera.
const HILLS = [
  ["#8a4a72", 138, 22, 97, 0.15],
  ["#5f3a66", 158, 16, 61, 0.3],
  ["#3b2b55", 182, 12, 43, 0.5],
];
const EARTH = "#7a4a33";
const EARTH_DARK = "#5e3828";
const GRASS = "#6bc04b";
const GRASS_DARK = "#459334";
const PLANK = "#c98b4a";
const PLANK_DARK = "#8d5a2b";

/** Draws a game's state on its own canvas. */
export class Scene {
  constructor(width, height) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.sprites = sprites();
    const sky = this.context.createLinearGradient(0, 0, 0, height);
    SKY.forEach((colour, index) => sky.addColorStop(index / (SKY.length - 1), colour));
    this.sky = sky;
  }

  /** Draw the game as it is now. */
  draw(game) {
    const left = Math.round(game.camera);
    this.backdrop(left);
    this.tiles(game.level, left);
    for (const coin of game.level.coins) this.coin(coin, left, game.tick);
    for (const slime of game.level.slimes) this.slime(slime, left);
    this.hero(game, left);
    this.score(game);
  }

  backdrop(left) {
    const { context, canvas } = this;
    context.fillStyle = this.sky;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "#ffe9b8";
    context.beginPath();
    context.arc(190 - left * 0.02 % 300, 104, 20, 0, 2 * Math.PI);
    context.fill();
    for (const [colour, crest, swing, length, share] of HILLS) {
      context.fillStyle = colour;
      for (let x = 0; x < canvas.width; x += 2) {
        const place = (x + left * share) / length;
        const y = Math.round(crest + swing * Math.sin(place) + (swing / 2) * Math.sin(2.3 * place + 1));
        context.fillRect(x, y, 2, canvas.height - y);
      }
    }
  }

  tiles(level, left) {
    const { context, canvas } = this;
    const first = Math.max(0, Math.floor(left / TILE));
    const last = Math.floor((left + canvas.width) / TILE);
    for (let column = first; column <= last; column += 1) {
      const x = column * TILE - left;
      const top = level.surface(column) * TILE;
      context.fillStyle = EARTH;
      context.fillRect(x, top, TILE, canvas.height - top);
      context.fillStyle = EARTH_DARK;
      for (let row = level.surface(column) + 1; row < ROWS; row += 1) {
        const shift = ((column * 7 + row * 5) % 3) * 4;
        context.fillRect(x + shift, row * TILE + 3, 4, 2);
        context.fillRect(x + ((shift + 8) % 12), row * TILE + 10, 3, 2);
      }
      if (level.columns[column].ground) this.grass(x, top, column);
      if (level.columns[column].plank >= 0) this.plank(x, level.columns[column].plank * TILE);
    }
  }

  grass(x, top, column) {
    const { context } = this;
    context.fillStyle = GRASS;
    context.fillRect(x, top, TILE, 4);
    context.fillStyle = GRASS_DARK;
    for (let blade = 0; blade < TILE; blade += 4) context.fillRect(x + blade + (column % 2), top + 4, 2, 2);
  }

  plank(x, y) {
    const { context } = this;
    context.fillStyle = PLANK;
    context.fillRect(x, y, TILE, 6);
    context.fillStyle = PLANK_DARK;
    context.fillRect(x, y + 5, TILE, 2);
    context.fillRect(x + TILE - 1, y, 1, 6);
  }

  coin({ x, y }, left, tick) {
    const { context } = this;
    const width = Math.max(0.8, Math.abs(Math.cos(tick / 12 + x / 40)) * 5);
    context.fillStyle = "#b7791f";
    ellipse(context, x - left, y, width + 1, 6);
    context.fillStyle = "#ffd75e";
    ellipse(context, x - left, y, width, 5);
  }

  slime(slime, left) {
    const figure = slime.squashed ? this.sprites.squashed : this.sprites.slime;
    const picture = slime.speed < 0 ? figure.left : figure.right;
    this.context.drawImage(picture, Math.round(slime.x - left - picture.width / 2), slime.y - picture.height);
  }

  hero({ hero, tick, safe }, left) {
    // The hero blinks while nothing can hurt it.
    if (safe > 0 && tick % 8 < 4) return;
    let figure = this.sprites.stand;
    if (!hero.stands) figure = this.sprites.jump;
    else if (Math.abs(hero.vx) > 0.2) figure = this.sprites.run[Math.floor(hero.stride / 9) % 2];
    const picture = hero.facing < 0 ? figure.left : figure.right;
    this.context.drawImage(picture, Math.round(hero.x - left - 6), Math.round(hero.y) - picture.height);
  }

  score({ coins, distance, hearts }) {
    const { context, canvas } = this;
    context.font = "bold 11px system-ui, sans-serif";
    context.textBaseline = "top";
    const texts = [["♥".repeat(hearts), 8, "left"], [`● ${coins}`, 128, "center"], [`${distance} m`, 248, "right"]];
    for (const [text, x, align] of texts) {
      context.textAlign = align;
      context.fillStyle = "#1a1730";
      context.fillText(text, x + 1, 9);
      context.fillStyle = "#fff4d6";
      context.fillText(text, x, 8);
    }
    context.textAlign = "left";
    if (hearts === 0) {
      context.fillStyle = "rgb(20 16 40 / 70%)";
      context.fillRect(0, canvas.height / 2 - 22, canvas.width, 44);
      context.fillStyle = "#fff4d6";
      context.textAlign = "center";
      context.fillText(`${distance} m and ${coins} coins`, canvas.width / 2, canvas.height / 2 - 12);
      context.fillText("Try again", canvas.width / 2, canvas.height / 2 + 4);
    }
  }
}

function ellipse(context, x, y, width, height) {
  context.beginPath();
  context.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
  context.fill();
}
