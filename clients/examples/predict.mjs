// Ask a NitroGen gateway for the actions for one picture. Node 18 or newer, no packages.
//
//     node predict.mjs FILE [HOST [PORT]]
//
// FILE: a PNG, JPEG, BMP or WebP picture, or 196,608 bytes of raw RGB (256x256, row by row).

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const BUTTONS = (
  "BACK DPAD_DOWN DPAD_LEFT DPAD_RIGHT DPAD_UP EAST GUIDE LEFT_SHOULDER LEFT_THUMB LEFT_TRIGGER NORTH " +
  "RIGHT_BOTTOM RIGHT_LEFT RIGHT_RIGHT RIGHT_SHOULDER RIGHT_THUMB RIGHT_TRIGGER RIGHT_UP SOUTH START WEST"
).split(" ");
const TIMEOUT_MS = 10_000; // the gateway answers within 4 s, if need be with an error
const TRIES = 3;
const MAX_REPLY = 65_536; // characters; a gateway's are much shorter

// Connects. A game keeps its connection, to which the model's memory belongs.
async function connect(host, port) {
  const socket = createConnection({ host, port, noDelay: true });
  await inTime(socket, once(socket, "connect")); // throws when nobody listens
  socket.setEncoding("utf8");
  return { socket, replies: lines(socket) };
}

// Awaits a promise. After a while it destroys the socket, which ends the wait with an error.
async function inTime(socket, promise) {
  const late = () => socket.destroy(new Error(`no whole answer came within ${TIMEOUT_MS} ms`));
  const timer = setTimeout(late, TIMEOUT_MS);
  return promise.finally(() => clearTimeout(timer));
}

// Yields the lines that come. A line that is too long is cut, and is the last one.
async function* lines(socket) {
  let text = "";
  for await (const chunk of socket) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
    if (text.length > MAX_REPLY) return yield text;
  }
}

// Sends one picture and returns the reply's line. Throws when the connection is lost.
async function ask({ socket, replies }, image) {
  const header = JSON.stringify({ type: "predict", len: image.length });
  socket.write(Buffer.concat([Buffer.from(`${header}\n`), image]));
  const { value: line, done } = await inTime(socket, replies.next());
  if (done) throw new Error("the connection was closed");
  return line;
}

// Returns the first step of a chunk of actions as text.
function firstStep(pred) {
  const pressed = BUTTONS.filter((_, column) => pred.buttons[0][column] === 1);
  const stick = ([x, y]) => `x ${x.toFixed(3)}, y ${y.toFixed(3)}`;
  return [
    `${pred.buttons.length} steps; the first:`,
    `  buttons       ${pressed.join(" ") || "none"}`,
    `  left stick    ${stick(pred.j_left[0])}`,
    `  right stick   ${stick(pred.j_right[0])}`,
  ].join("\n");
}

// Prints what a reply's line says, and returns the exit status.
function show(line, server) {
  try {
    const reply = JSON.parse(line);
    if (reply.status === "ok") {
      console.log(firstStep(reply.pred));
      return 0;
    }
    console.error(`the gateway says: ${reply.message.trim()}`);
    return 1;
  } catch {
    const begins = line.slice(0, 60).trim().replace(/[^ -~]/g, "?");
    console.error(`${server} is not a NitroGen gateway's TCP port: it answers "${begins}"`);
    return 2;
  }
}

// Asks, and tries again if the connection is lost; returns the exit status.
async function main(file, host = "127.0.0.1", port = "5556") {
  let image;
  try {
    image = await readFile(file);
  } catch (error) {
    console.error(`the picture ${file} cannot be read: ${error.message}`);
    return 2;
  }
  for (let number = 1; number <= TRIES; number++) {
    let connection;
    try {
      connection = await connect(host, Number(port));
      return show(await ask(connection, image), `${host}:${port}`);
    } catch (error) {
      console.error(`no answer from ${host}:${port}, try ${number} of ${TRIES}: ${error.message || error.code}`);
      await pause(number < TRIES ? 1000 : 0);
    } finally {
      connection?.socket.destroy();
    }
  }
  return 2;
}

const words = process.argv.slice(2);
if (words.length < 1 || words.length > 3) {
  console.error("usage: node predict.mjs FILE [HOST [PORT]]");
  process.exitCode = 2;
} else {
  process.exitCode = await main(...words);
}
