// The list of players: a button for each, which chooses the player to show.

const SILENT_S = 3;

export class PlayerList {
  constructor(list, onChoice) {
    this.list = list;
    this.onChoice = onChoice;
    this.items = new Map();
    this.chosen = "";
  }

  /** Show these players in order, and mark the chosen one. */
  show(players, chosen) {
    const present = new Set(players.map((player) => player.id));
    for (const [id, item] of this.items) {
      if (!present.has(id)) {
        item.remove();
        this.items.delete(id);
      }
    }
    players.forEach((player, index) => {
      const item = this.items.get(player.id) ?? this.add(player.id);
      this.fill(item, player);
      item.firstChild.setAttribute("aria-pressed", String(player.id === chosen));
      if (this.list.children[index] !== item) this.list.insertBefore(item, this.list.children[index] ?? null);
    });
  }

  add(id) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...["client", "figure rate", "figure delay", "what"].map((name) => part(name)));
    button.addEventListener("click", () => this.onChoice(id));
    item.append(button);
    this.items.set(id, item);
    return item;
  }

  fill(item, player) {
    const [client, rate, delay, what] = item.firstChild.children;
    client.textContent = client.title = player.client;
    figure(rate, player.actions_per_s.toFixed(0), "actions/s");
    figure(delay, player.stages_ms ? milliseconds(player.stages_ms.total) : "–", "delay");
    what.textContent = [
      `port ${player.port}`,
      player.model && `model ${player.model}`,
      player.game && `game ${player.game}`,
      player.fit,
      `for\u00a0${duration(player.age_s)}`,
      player.idle_s > SILENT_S && `silent\u00a0for\u00a0${duration(player.idle_s)}`,
      player.errors && `${player.errors} failed`,
    ].filter(Boolean).join(" · ");
  }
}

/** A number of milliseconds as text. */
export function milliseconds(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** A number of seconds as text. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min`;
  return `${Math.floor(seconds / 3600)}\u00a0h\u00a0${Math.floor((seconds % 3600) / 60)}\u00a0min`;
}

function part(name) {
  const element = document.createElement("span");
  element.className = name;
  return element;
}

function figure(element, value, unit) {
  if (!element.firstChild) element.append("", document.createElement("small"));
  element.firstChild.data = value;
  element.lastChild.textContent = unit;
}
