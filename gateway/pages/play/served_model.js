// The server's facts about its model, and the player's choice of a model and of a game's name.

const id = (name) => document.getElementById(name);
const BETWEEN_LOOKS_MS = 5000;
const DEFAULT = "(the server's choice)";

export class ServedModel {
  /** `seen`: called with what happens: served(info) when the facts are new, chosen() when the player chose. */
  constructor(connection, player, seen) {
    Object.assign(this, { connection, player, seen, shown: "" });
    // Another version may take over while the page is open.
    setInterval(() => connection.isOpen && this.ask(), BETWEEN_LOOKS_MS);
    this.chosenBy("model", (value) => {
      this.option("model", value || undefined);
      this.option("game", undefined);
      this.ask();
      player.begin();
      seen.chosen();
    });
    this.chosenBy("known", (value) => {
      this.option("game", value || undefined);
      this.ask();
      player.begin();
      seen.chosen();
    });
  }

  /** Ask the server for its facts, and show them if they have changed. */
  async ask() {
    const { model } = this.player.options;
    let reply;
    try {
      reply = await this.connection.request({ type: "info", ...(model && { model }) });
    } catch {
      return; // the connection is lost; the page asks again on the next one
    }
    const told = JSON.stringify([reply.info, this.player.options]);
    if (reply.status !== "ok" || told === this.shown) return;
    this.shown = told;
    this.show(reply.info);
  }

  show(info) {
    this.player.served(info);
    this.seen.served(info);
    id("untrained").hidden = info.ckpt_path !== "demo";
    const facts = {
      Model: info.version ? `${info.model}, version ${info.version}` : info.model,
      Checkpoint: info.ckpt_path,
      Steps: info.inference_steps,
      Precision: info.precision,
      Chunk: `${info.horizon} actions`,
      Context: info.context_length === 1 ? "1 frame" : `${info.context_length} frames`,
      Game: this.player.options.game ?? info.selected_game ?? "none",
    };
    const items = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null);
    id("facts").replaceChildren(...items.flatMap(([name, value]) => [text("dt", name), text("dd", value)]));
    fill("model", info.models ?? [], this.player.options.model);
    fill("known", (info.games ?? []).filter(Boolean), this.player.options.game);
    id("model-choice").hidden = (info.models ?? []).length < 2;
  }

  option(name, value) {
    if (value === undefined) delete this.player.options[name];
    else this.player.options[name] = value;
  }

  chosenBy(name, choose) {
    id(name).addEventListener("change", ({ target }) => choose(target.value));
  }
}

function fill(name, values, chosen) {
  const options = values.map((value) => new Option(value, value, false, value === chosen));
  id(name).replaceChildren(new Option(DEFAULT, ""), ...options);
  id(name).value = chosen ?? "";
  id(`${name}-choice`).hidden = values.length === 0;
}

function text(tag, content) {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}
