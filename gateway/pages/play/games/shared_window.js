// A window or tab that the player shares. A page cannot press anything in it: it shows what the model would press.

/** The browser shares nothing with this page; the message says why. */
export class NoWindowError extends Error {}

const NOT_ALLOWED = "Browsers share a window only with a page that came over HTTPS or from this machine (localhost).";

export class SharedWindow {
  resizeMode = "stretch";
  canPress = false;

  constructor(stream, ended) {
    this.stream = stream;
    this.title = stream.getVideoTracks()[0].label || "A window";
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.srcObject = stream;
    stream.getVideoTracks()[0].addEventListener("ended", ended);
  }

  get width() {
    return this.video.videoWidth;
  }

  get height() {
    return this.video.videoHeight;
  }

  frame() {
    return this.video;
  }

  press() {}

  step() {
    return false;
  }

  reset() {}

  close() {
    for (const track of this.stream.getTracks()) track.stop();
  }
}

/** Throw an error if the browser shares nothing with this page. */
export function checkSharing() {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new NoWindowError(NOT_ALLOWED);
}

/** Ask the player for a window; null if the player shares none. `ended`: called when the player stops sharing. */
export async function sharedWindow(ended) {
  checkSharing();
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: false });
  } catch (error) {
    if (error.name === "NotAllowedError") return null;
    throw new NoWindowError(`The browser cannot share that window: ${error.message}.`);
  }
  const game = new SharedWindow(stream, ended);
  await game.video.play();
  return game;
}
