// The WebSocket to the gateway: sends requests, matches replies, and reconnects by itself.

const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 5000;
// Longer than the gateway's own deadline: a server that is silent for this long is gone.
const SILENCE_MS = 40_000;

/** The connection ended before the reply came. */
export class ConnectionLostError extends Error {}

// The statuses with which the gateway refuses a client, and says why in a sentence.
const REFUSALS = [401, 403, 503];

/**
 * `address`: the WebSocket's. `changed(isOpen, why)` is called when the connection opens, ends, or fails to open;
 * `why`: the gateway's sentence if it refuses this page, else null.
 */
export class Connection {
  constructor(address, changed) {
    this.address = address;
    this.changed = changed;
    this.waiting = new Map(); // by id: {resolve, reject, timer}
    this.id = 0;
    this.wait = FIRST_WAIT_MS;
    this.open();
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Send a request, and the bytes that follow it; return a promise of the reply. */
  request(fields, bytes = null) {
    if (!this.isOpen) return Promise.reject(new ConnectionLostError());
    this.id += 1;
    const id = this.id;
    const socket = this.socket;
    socket.send(JSON.stringify({ ...fields, id }));
    if (bytes !== null) socket.send(bytes);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.close(), SILENCE_MS);
      this.waiting.set(id, { resolve, reject, timer });
    });
  }

  open() {
    let wasOpen = false;
    this.socket = new WebSocket(this.address);
    this.socket.addEventListener("open", () => {
      wasOpen = true;
      this.wait = FIRST_WAIT_MS;
      this.changed(true);
    });
    this.socket.addEventListener("message", ({ data }) => this.receive(JSON.parse(data)));
    this.socket.addEventListener("close", () => this.lost(wasOpen));
  }

  receive(reply) {
    const asked = this.waiting.get(reply.id);
    if (asked === undefined) return;
    this.waiting.delete(reply.id);
    clearTimeout(asked.timer);
    asked.resolve(reply);
  }

  async lost(wasOpen) {
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(new ConnectionLostError());
    }
    this.waiting.clear();
    this.changed(false, wasOpen ? null : await refusal(this.address));
    setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(2 * this.wait, MAX_WAIT_MS);
  }
}

/** Why the gateway refuses this page, or null. A browser does not tell a page why a WebSocket failed. */
async function refusal(address) {
  const url = new URL(address);
  url.protocol = url.protocol.replace("ws", "http");
  try {
    const response = await fetch(url);
    return REFUSALS.includes(response.status) ? (await response.text()).trim() : null;
  } catch {
    return null;
  }
}
