// The gateway's events about its players. The page connects again whenever the connection ends, and closes it while the
// page is hidden: the gateway makes pictures only for people who are looking.

const AGAIN_MS = 500;
const SILENT_MS = 3000;

/** Calls `onEvent(name, data)` for each event, and `onState(problem)`, "" while events come. */
export class Events {
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.player = "";
    this.source = null;
    this.timer = 0;
    this.silence = 0;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  /** Choose a player to look at, by the id in the list; "" for none. */
  choose(player) {
    this.player = player;
    this.open();
  }

  open() {
    this.close();
    if (document.hidden) return;
    if (!this.silence) this.heard();
    const query = new URLSearchParams({ player: this.player });
    this.source = new EventSource(`/live/events?${query}`);
    for (const name of ["players", "chosen"]) {
      this.source.addEventListener(name, (event) => {
        this.heard();
        this.onState("");
        this.onEvent(name, JSON.parse(event.data));
      });
    }
    this.source.onerror = () => {
      this.source.close();
      this.timer = setTimeout(() => this.open(), AGAIN_MS);
    };
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** Start waiting for the next event; if none comes for a while, say why. */
  heard() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.complain(), SILENT_MS);
  }

  async complain() {
    const silence = this.silence;
    const reason = await this.reason();
    if (silence !== this.silence) return;
    if (!document.hidden) this.onState(reason);
    this.heard();
  }

  /** The reason why no events come: the gateway's own message, if there is one. */
  async reason() {
    const stop = new AbortController();
    try {
      const response = await fetch("/live/events", { signal: stop.signal });
      if (!response.ok) return (await response.text()).trim();
    } catch {
      // The gateway does not answer at all.
    } finally {
      stop.abort();
    }
    return "The gateway does not answer. Trying again.";
  }
}
