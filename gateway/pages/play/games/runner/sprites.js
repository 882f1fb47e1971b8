// The sample game's figures as rows of letters, one letter for each pixel; they are drawn once.

const INKS = {
  h: "#3b2a2a", s: "#f2c79b", e: "#22202e", r: "#e5484d", b: "#3f6fd1", l: "#8fd98b", d: "#2c3350",
  k: "#5a3822", g: "#47b06b", w: "#ffffff", D: "#2f7d4c",
};

const BODY = [
  "....hhhhh...",
  "...hhhhhhh..",
  "...hhhssss..",
  "...hhseses..",
  "...hssssss..",
  "....sssss...",
  "..rrrrrrr...",
  ".rr.bbbbb...",
  "rr.bbbbbbb..",
  "...bbbbbbb..",
  "...sbbbbbs..",
];
const LEGS = {
  stand: ["....ddddd...", "....dd.dd...", "....dd.dd...", "....kkkkkk.."],
  run1: ["....ddddd...", "...dd..ddd..", "..kd....dd..", "..kk....kkk."],
  run2: ["....ddddd...", ".....ddd....", ".....ddk....", ".....kkkk..."],
  jump: ["...dddddd...", "..kdd..ddk..", "..kk....kk..", "............"],
};
const SLIME = [
  ".....gggg.....",
  "...gggggggg...",
  "..gllgggggggg.",
  ".glggggggggggg",
  ".gggwegggwegg.",
  ".gggwegggwegg.",
  "gggggggggggggg",
  "gggggggggggggg",
  "DgDDgDDgDDgDDg",
];
const SQUASHED = ["..............", "gggggggggggggg", "gggweggggwegg.", "DgDDgDDgDDgDDg"];

/** The figures, each as {right, left}: canvases in which it faces that side. */
export function sprites() {
  const hero = (legs) => bothWays([...BODY, ...LEGS[legs]]);
  return {
    stand: hero("stand"),
    run: [hero("run1"), hero("run2")],
    jump: hero("jump"),
    slime: bothWays(SLIME),
    squashed: bothWays(SQUASHED),
  };
}

function bothWays(lines) {
  return { right: drawn(lines), left: drawn(lines.map((line) => [...line].reverse().join(""))) };
}

function drawn(lines) {
  const canvas = document.createElement("canvas");
  canvas.width = lines[0].length;
  canvas.height = lines.length;
  const context = canvas.getContext("2d");
  lines.forEach((line, y) => {
    [...line].forEach((letter, x) => {
      if (letter === ".") return;
      context.fillStyle = INKS[letter];
      context.fillRect(x, y, 1, 1);
    });
  });
  return canvas;
}
