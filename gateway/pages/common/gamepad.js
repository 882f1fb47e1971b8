// The gamepad that the model plays, and how replies describe it.
//
// A row is the pad at one moment, as replies and `played` have it: {buttons: 21 of 0 or 1, j_left: [x, y],
// j_right: [x, y]}, the sticks from -1 to 1, positive to the right and down.

// The columns of `buttons`, in order.
export const BUTTONS = [
  "BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER",
  "LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER",
  "RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST",
];

// Buttons that leave a game rather than play it.
export const MENU_BUTTONS = ["BACK", "GUIDE", "START"];

const PRESSED_FROM = 0.5;
const STICK_FROM = 0.5;
const COLUMNS = new Map(BUTTONS.map((name, column) => [name, column]));

/** A row of these buttons (an iterable of names) and sticks. */
export function row(pressed = [], left = [0, 0], right = [0, 0]) {
  const buttons = new Array(BUTTONS.length).fill(0);
  for (const name of pressed) buttons[COLUMNS.get(name)] = 1;
  return { buttons, j_left: left, j_right: right };
}

/** The names of the buttons that a row holds down, and of its sticks as crosses, such as LEFT_STICK_UP. */
export function held(pad) {
  const names = BUTTONS.filter((_, column) => pad.buttons[column] > PRESSED_FROM);
  for (const [side, [x, y]] of [["LEFT", pad.j_left], ["RIGHT", pad.j_right]]) {
    if (x <= -STICK_FROM) names.push(`${side}_STICK_LEFT`);
    if (x >= STICK_FROM) names.push(`${side}_STICK_RIGHT`);
    if (y <= -STICK_FROM) names.push(`${side}_STICK_UP`);
    if (y >= STICK_FROM) names.push(`${side}_STICK_DOWN`);
  }
  return new Set(names);
}

/** The rows of a reply's `pred`, without the buttons named in `without`. */
export function rowsOf(pred, without = []) {
  const columns = without.map((name) => COLUMNS.get(name));
  return pred.buttons.map((values, index) => {
    const buttons = values.map((value, column) => (value > PRESSED_FROM && !columns.includes(column) ? 1 : 0));
    return { buttons, j_left: pred.j_left[index], j_right: pred.j_right[index] };
  });
}

/** Rows in the form of a reply's `pred`, for a request's `previous`. */
export function predOf(rows) {
  return {
    buttons: rows.map((pad) => pad.buttons),
    j_left: rows.map((pad) => pad.j_left),
    j_right: rows.map((pad) => pad.j_right),
  };
}

/** A button's name as people read it: "D-pad left". */
export function label(name) {
  const words = name.replace("DPAD_", "D-pad ").replace(/^RIGHT_(UP|BOTTOM|LEFT|RIGHT)$/, "Right stick $1")
    .replaceAll("_", " ").toLowerCase().replace("bottom", "down");
  return words[0].toUpperCase() + words.slice(1);
}
