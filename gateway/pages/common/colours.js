// The style sheet's colours for canvases, which a style sheet's rules do not reach.

const dark = matchMedia("(prefers-color-scheme: dark)");
let known = new Map();
dark.addEventListener("change", () => {
  known = new Map();
});

/** The value of a custom property of the page, such as "--ink". */
export function colour(name) {
  if (!known.has(name)) {
    known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  }
  return known.get(name);
}

/** Call `draw` when the page changes between light and dark. */
export function whenColoursChange(draw) {
  dark.addEventListener("change", draw);
}

/** Fit a canvas's pixels to its size on the screen, and return its context, whose unit is a CSS pixel. */
export function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return context;
}
