// An OPC UA server that is not ours (npm node-opcua): `node opcua_peer.js PORT PKI_FOLDER`.
//
// It listens on 127.0.0.1 and prints its port when it is ready. Every line on standard input, `set NAME VALUE` or
// `emit CASES SSCC` (an event of the type i=5001 by the object s=::Palletizer), is answered by `ok`. The user `edge` with the password `plant` may log in, and so may nobody at all; all of its security
// policies are offered, with a certificate of its own below PKI_FOLDER, and any client is trusted.
"use strict";

console.log = console.warn = console.info = console.error; // node-opcua's own advice is no answer
const say = (line) => process.stdout.write(`${line}\n`);

const path = require("path");
const readline = require("readline");
const opcua = require("node-opcua");

const URI = "urn:interop:plc";
const NODES = {
  "Infeed.Total": [opcua.DataType.UInt16, 100],
  "Filler.Total": [opcua.DataType.UInt32, 1000],
  "Order.No": [opcua.DataType.String, "A1"],
  "Pal.Seq": [opcua.DataType.UInt32, 7],
  "Pal.Ack": [opcua.DataType.UInt32, 7],
  "Pal.Result": [opcua.DataType.Int16, 0],
  "Pal.Cases": [opcua.DataType.Int16, 48],
  "Pal.SSCC": [opcua.DataType.String, "340123450000000071"],
};
const WRITABLE = ["Pal.Ack", "Pal.Result"];

async function certificatesIn(folder) {
  const made = new opcua.OPCUACertificateManager({ automaticallyAcceptUnknownCertificate: true, rootFolder: folder });
  await made.initialize();
  return made;
}

async function main(port, folder) {
  const server = new opcua.OPCUAServer({
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    port,
    resourcePath: "/UA",
    disableDiscovery: true,
    serverCertificateManager: await certificatesIn(path.join(folder, "applications")),
    userCertificateManager: await certificatesIn(path.join(folder, "users")),
    serverInfo: { applicationUri: "urn:interop:server" },
    allowAnonymous: true,
    securityPolicies: [
      opcua.SecurityPolicy.None,
      opcua.SecurityPolicy.Basic256Sha256,
      opcua.SecurityPolicy.Aes128_Sha256_RsaOaep,
      opcua.SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    securityModes: [
      opcua.MessageSecurityMode.None,
      opcua.MessageSecurityMode.Sign,
      opcua.MessageSecurityMode.SignAndEncrypt,
    ],
    userManager: { isValidUser: (user, password) => user === "edge" && password === "plant" },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace(URI);
  const variables = {};
  for (const [name, [dataType, value]] of Object.entries(NODES)) {
    variables[name] = own.addVariable({
      organizedBy: space.rootFolder.objects,
      browseName: name,
      nodeId: `s=::${name}`,
      dataType,
      value: { dataType, value },
      minimumSamplingInterval: 10,
      accessLevel: WRITABLE.includes(name) ? "CurrentRead | CurrentWrite" : "CurrentRead",
    });
  }
  const left = own.addEventType({ browseName: "PalletLeft", subtypeOf: "BaseEventType", nodeId: "i=5001" });
  for (const [name, dataType] of [["Cases", "Int16"], ["SSCC", "String"]]) {
    own.addVariable({
      propertyOf: left,
      browseName: { name, namespaceIndex: own.index },
      dataType,
      modellingRule: "Mandatory",
    });
  }
  const palletizer = own.addObject({
    organizedBy: space.rootFolder.objects,
    browseName: "Palletizer",
    nodeId: "s=::Palletizer",
    eventNotifier: 1,
  });
  await server.start();
  say(server.endpoints[0].port);
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [command, name, ...rest] = line.split(" ");
    if (command === "emit") {
      palletizer.raiseEvent(left, {
        cases: { dataType: opcua.DataType.Int16, value: Number(name) },
        SSCC: { dataType: opcua.DataType.String, value: rest.join(" ") },
        message: { dataType: opcua.DataType.LocalizedText, value: { text: "a pallet has left" } },
      });
      say("ok");
      return;
    }
    if (command !== "set" || !(name in variables)) {
      say(`error: ${line}`);
      return;
    }
    const [dataType] = NODES[name];
    const value = dataType === opcua.DataType.String ? rest.join(" ") : Number(rest[0]);
    variables[name].setValueFromSource({ dataType, value });
    say("ok");
  });
}

main(Number(process.argv[2]), process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
