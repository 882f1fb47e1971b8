// A game's picture as the model sees it: 256x256 pixels of RGBA.

const SIDE = 256;

/** Makes pictures square, on a canvas that shows what the model sees. */
export class ModelPicture {
  constructor(canvas) {
    canvas.width = SIDE;
    canvas.height = SIDE;
    this.context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    this.context.imageSmoothingQuality = "high";
  }

  /** Return a picture's bytes (256 x 256 x 4); `mode`: "pad", "crop" or "stretch", as on port 5556. */
  take(picture, mode) {
    const [width, height] = size(picture);
    const [wide, high] = mode === "stretch" ? [SIDE, SIDE] : fit(width, height, mode);
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, SIDE, SIDE);
    const [x, y] = [Math.floor((SIDE - wide) / 2), Math.floor((SIDE - high) / 2)];
    this.context.drawImage(picture, x, y, wide, high);
    return this.context.getImageData(0, 0, SIDE, SIDE).data;
  }
}

function fit(width, height, mode) {
  const scale = SIDE / (mode === "crop" ? Math.min(width, height) : Math.max(width, height));
  return [Math.round(width * scale), Math.round(height * scale)];
}

function size(picture) {
  return [picture.videoWidth ?? picture.width, picture.videoHeight ?? picture.height];
}
