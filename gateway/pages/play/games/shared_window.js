// A window or tab that the player shares. A page cannot press anything in it: it shows what the model would press.

/** The browser does not let this page ask for a window. */
export class NoWindowsError extends Error {}

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

/** Ask the player for a window; null when he shares none. `ended`: called when he ends it. */
export async function sharedWindow(ended) {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new NoWindowsError();
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: false });
  } catch (error) {
    if (error.name === "NotAllowedError") return null;
    throw error;
  }
  const game = new SharedWindow(stream, ended);
  await game.video.play();
  return game;
}
