// The choices that make chunks fit together: the noise, and whether a chunk carries on from the previous one.
// They are part of the page's address, so that a reload keeps them.

const id = (name) => document.getElementById(name);
const USUAL_MEMORY = 0.9;
const NOISES = {
  fresh: "Every chunk starts from new noise, so the model may change its mind at each chunk.",
  memory: "Part of the noise carries over to the next chunk, so the model changes its mind less often. "
    + "At 1 the noise stays the same until a restart.",
  tick: "Each moment of the game keeps its own noise, so that chunks agree about the moments they share. "
    + "This only shows in real time.",
};
const CONDITIONING = {
  true: "In real time the next chunk carries on from what is being pressed, so the pad jumps less between chunks.",
  false: "This model cannot carry on from the previous chunk. Export it again with this version to add that.",
};

export class SmoothChoices {
  constructor(player) {
    this.player = player;
    const asked = new URLSearchParams(location.search);
    // A seed sets the noise.
    const hasSeed = asked.has("seed");
    id("noise-choice").hidden = hasSeed;
    id("noise-hint").hidden = hasSeed;
    const noise = asked.get("noise");
    id("noise").value = Object.hasOwn(NOISES, noise) && !hasSeed ? noise : "fresh";
    const memory = Number.parseFloat(asked.get("memory"));
    id("memory").value = memory >= 0 && memory <= 1 ? memory : USUAL_MEMORY;
    id("conditioning").checked = asked.get("conditioning") !== "off";
    for (const name of ["noise", "memory", "conditioning"]) {
      id(name).addEventListener("input", () => this.apply());
      id(name).addEventListener("change", () => this.keep());
    }
    this.apply();
  }

  /** Take the model's facts from `info`. */
  served(info) {
    const can = info.conditioning === true;
    id("conditioning").disabled = !can;
    id("conditioning-hint").textContent = CONDITIONING[can];
  }

  apply() {
    const noise = id("noise").value;
    const memory = Number(id("memory").value);
    this.player.noise = noise === "memory" ? { memory } : noise;
    this.player.isConditioned = id("conditioning").checked;
    id("memory-choice").hidden = noise !== "memory";
    id("memory-value").textContent = memory.toFixed(2);
    id("noise-hint").textContent = NOISES[noise];
  }

  keep() {
    const url = new URL(location.href);
    const set = (name, value, usual) => {
      if (value === usual) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    };
    const noise = id("noise").value;
    set("noise", noise, "fresh");
    set("memory", noise === "memory" ? id("memory").value : null, null);
    set("conditioning", id("conditioning").checked ? "on" : "off", "on");
    history.replaceState(null, "", url);
  }
}
