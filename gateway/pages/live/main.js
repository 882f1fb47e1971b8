// The live page: passes one stream of events to the parts that show it.

import { Events } from "./events.js";
import { duration, PlayerList } from "./players.js";
import { ShownPlayer } from "./shown_player.js";

const element = (id) => document.getElementById(id);
const shown = new ShownPlayer(element("shown"));
const list = new PlayerList(element("players"), choose);
const events = new Events(take, tell);
let players = [];
let chosen = "";

function choose(id) {
  chosen = id;
  shown.choose(id);
  list.show(players, id);
  events.choose(id);
}

function take(name, data) {
  if (name === "chosen") {
    shown.take(data);
    return;
  }
  players = data.players;
  if (!players.some((player) => player.id === chosen) && (players.length || chosen)) {
    choose(players[0]?.id ?? "");
  }
  list.show(players, chosen);
  shown.takeList(players);
  element("nobody").hidden = players.length > 0;
  const more = data.count - players.length;
  element("more").hidden = more < 1;
  element("more").textContent = `and ${more} more`;
  element("no-errors").hidden = Object.keys(data.errors).length > 0;
  element("errors").replaceChildren(...Object.entries(data.errors).map(errorsOf));
}

function errorsOf([cause, { count, last }]) {
  const item = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = cause.replaceAll("_", " ");
  const sentences = document.createElement("ul");
  for (const { ago_s: ago, client, sentence } of last) {
    const line = document.createElement("li");
    line.textContent = `${duration(ago)} ago, ${client}: ${sentence}`;
    sentences.append(line);
  }
  item.append(name, ` ${count === 1 ? "once" : `${count} times`}`, sentences);
  return item;
}

function tell(problem) {
  element("problem").textContent = problem;
  const connection = element("connection");
  connection.textContent = problem ? "Not connected" : "Live";
  connection.className = problem ? "pill lost" : "pill open";
}

events.open();
