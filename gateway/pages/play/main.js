// The play page: connects its controls and displays to the player.

import { DelayChart } from "./common/chart.js";
import { PadPicture } from "./common/pad.js";
import { ChunkStrip } from "./common/strip.js";
import { Connection } from "./connection.js";
import { GameChooser } from "./game_chooser.js";
import { Inputs } from "./inputs.js";
import { ModelPicture } from "./picture.js";
import { Player } from "./player.js";
import { ServedModel } from "./served_model.js";
import { SmoothChoices } from "./smooth_choices.js";

const id = (name) => document.getElementById(name);
const ASKED = new URLSearchParams(location.search);
const DELAYS = ["network", "queue", "model"];

const pad = new PadPicture(id("pad"));
const strip = new ChunkStrip(id("strip"));
const chart = new DelayChart(id("delay"), DELAYS.map((name) => `--${name}`));
const screen = id("screen");

const problems = { connection: null, game: null, model: null, wait: null };

/** Write a text into an element unless it is there already, so that a screen reader reads it once. */
function write(name, text) {
  if (id(name).textContent !== text) id(name).textContent = text;
}

/** Show a problem in a sentence; null when it is over. */
function problem(about, sentence) {
  problems[about] = sentence;
  write("problem", Object.values(problems).find((told) => told !== null) ?? "");
}

const connection = new Connection(address(), (isOpen, why) => {
  id("connection").textContent = isOpen ? "Connected" : "Not connected";
  id("connection").className = `pill ${isOpen ? "open" : "lost"}`;
  const lost = why === null ? `No connection to ${location.host}` : `The server says: ${why}`;
  problem("connection", isOpen ? null : `${lost}. Trying again.`);
  if (!isOpen) return;
  player.connected();
  model.ask();
});

const player = new Player(connection, new ModelPicture(id("seen")), new Inputs(() => player.giveBack()), {
  chunk(rows, delay) {
    strip.take(rows);
    chart.add(DELAYS.map((name) => delay[name]));
    for (const name of DELAYS) id(`${name}-ms`).textContent = `${Math.max(0, delay[name]).toFixed(0)} ms`;
  },
  problem(sentence) {
    problem("model", sentence && `The server says: ${sentence}. Trying again.`);
    if (sentence) model.ask(); // the server may have another one by now
  },
  waits(isLong) {
    problem("wait", isLong ? "The model is taking longer than usual to answer. Waiting for it." : null);
  },
  by(who) {
    id("by").textContent = who === "human" ? "You play" : "The model plays";
    id("by").dataset.by = who;
    id("hand").textContent = who === "human" ? "Give control back" : "Take over";
  },
  failed(error) {
    problem("game", `${player.game.title} has stopped: ${error.message}. Restart it, or choose another game.`);
  },
  frame() {
    show(player.game);
    pad.show(player.pad, player.by);
    strip.seek(player.index);
    write("pace", player.game.canPress && !player.isRealTime ? "in turns" : "real time");
    write("pause", player.isPaused ? "Resume" : "Pause");
  },
});
if (ASKED.has("seed")) player.options.seed = Number(ASKED.get("seed"));

const smooth = new SmoothChoices(player);
const model = new ServedModel(connection, player, {
  served: (info) => smooth.served(info),
  chosen: () => strip.clear(),
});
const chooser = new GameChooser(player, ASKED.get("seed"), (sentence) => problem("game", sentence));
chooser.choose("runner");

id("hand").addEventListener("click", () => {
  if (player.by === "human") {
    player.giveBack();
    return;
  }
  player.takeOver();
  toStage();
});
id("pause").addEventListener("click", () => {
  player.pause(!player.isPaused);
});
id("restart").addEventListener("click", () => {
  player.game.reset();
  player.begin();
  player.isPaused = false;
  problem("game", null);
});
id("time").addEventListener("change", ({ target }) => {
  player.time = target.value;
  player.isRealTime = target.value === "real";
});
id("menu").addEventListener("change", ({ target }) => {
  player.allowMenu = target.checked;
});
addEventListener("click", ({ target }) => target.closest("button") && leave(target));
addEventListener("change", ({ target }) => leave(target));
toStage();

/** After a click on a control, give the keys back to the game: Space jumps, and does not press the button again. */
function leave(control) {
  if (!control.matches(":focus-visible")) toStage();
}

function toStage() {
  id("stage").focus({ preventScroll: true });
}

/** The WebSocket's address on this page's server, with the token from the page's own address. */
function address() {
  const url = new URL("play", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = "";
  url.hash = "";
  if (ASKED.has("token")) url.searchParams.set("token", ASKED.get("token"));
  return url;
}

function show(game) {
  const picture = game.frame();
  if (!game.width) return; // the shared window has not sent a picture yet
  if (screen.width !== game.width || screen.height !== game.height) {
    screen.width = game.width;
    screen.height = game.height;
  }
  screen.getContext("2d", { alpha: false }).drawImage(picture, 0, 0);
}
