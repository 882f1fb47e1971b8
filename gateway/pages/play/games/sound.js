// An emulator's sound, which is off until the player switches it on.

const RATE = 48_000;
// Seconds by which the sound lags the picture, so that it does not tear; if it lags by more, it starts again.
const AHEAD = 0.06;
const FAR_AHEAD = 0.3;

export class Sound {
  rate = RATE;

  constructor() {
    this.context = null;
    this.left = [];
    this.right = [];
    this.until = 0;
  }

  get isOn() {
    return this.context !== null;
  }

  /** Switch the sound on, from within a click or key event, or off. */
  set(isOn) {
    if (isOn && !this.context) this.context = new AudioContext({ sampleRate: RATE });
    if (!isOn) this.close();
  }

  add(left, right) {
    if (!this.context) return;
    this.left.push(left);
    this.right.push(right);
  }

  /** Play the samples that were added since the last call. */
  flush() {
    if (!this.context || !this.left.length) return;
    const buffer = this.context.createBuffer(2, this.left.length, RATE);
    buffer.copyToChannel(Float32Array.from(this.left), 0);
    buffer.copyToChannel(Float32Array.from(this.right), 1);
    this.left = [];
    this.right = [];
    const now = this.context.currentTime;
    if (this.until < now || this.until > now + FAR_AHEAD) this.until = now + AHEAD;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.start(this.until);
    this.until += buffer.duration;
  }

  close() {
    this.context?.close();
    this.context = null;
    this.left = [];
    this.right = [];
  }
}
