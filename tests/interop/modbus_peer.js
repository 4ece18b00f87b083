// A Modbus TCP server on npm's modbus-serial, for tests: node modbus_peer.js [PORT], on 127.0.0.1, any unit.
//
// The first line out is the port; 0 (default) takes a free one. `set OFFSET VALUE...` on standard input sets holding
// registers, all of them between two requests, and is answered with `ok`. It ends when its input closes.
"use strict";

const { createInterface } = require("node:readline");
const { ServerTCP } = require("modbus-serial");

const REGISTERS = 200;
const ANY_UNIT = 255;
const ILLEGAL_ADDRESS = 2;
const registers = new Uint16Array(REGISTERS);

function several(address, length) {
  if (address + length > REGISTERS) throw { modbusErrorCode: ILLEGAL_ADDRESS };
  return Array.from(registers.subarray(address, address + length));
}

const vector = {
  getHoldingRegister: (address) => several(address, 1)[0],
  getMultipleHoldingRegisters: (address, length) => several(address, length),
};

function command(line) {
  const [word, offset, ...values] = line.trim().split(/\s+/);
  const first = Number(offset);
  if (word !== "set" || !(first >= 0 && first + values.length <= REGISTERS)) return "error: set OFFSET VALUE...";
  registers.set(values.map(Number), first);
  return "ok";
}

const port = process.argv[2] ?? "0"; // a string: modbus-serial takes the number 0 for no port, that is for 502
const server = new ServerTCP(vector, { host: "127.0.0.1", port, unitID: ANY_UNIT });
server.on("socketError", () => {}); // a client that has gone
server.on("serverError", (error) => {
  console.error(`modbus_peer: ${error.message}`);
  process.exit(1);
});
server.on("initialized", () => {
  console.log(server._server.address().port);
  createInterface({ input: process.stdin })
    .on("line", (line) => console.log(command(line)))
    .on("close", () => process.exit(0));
});
